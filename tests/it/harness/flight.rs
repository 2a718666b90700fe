//! Flight SQL by arrow-flight's own client, down to the bytes.

use std::path::Path;

use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use bytes::Bytes;
use futures::StreamExt;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

async fn channel(address: &str, ca: &Path) -> Channel {
    let port = address.rsplit(':').next().unwrap();
    let certificate = Certificate::from_pem(std::fs::read(ca).unwrap());
    let tls = ClientTlsConfig::new().ca_certificate(certificate).domain_name("localhost");
    Endpoint::from_shared(format!("https://localhost:{port}"))
        .unwrap()
        .tls_config(tls)
        .unwrap()
        .connect()
        .await
        .unwrap()
}

/// A client that has logged in.
pub async fn login(
    address: &str,
    ca: &Path,
    user: &str,
    password: &str,
) -> Result<FlightSqlServiceClient<Channel>, FlightError> {
    let mut client = FlightSqlServiceClient::new(channel(address, ca).await);
    client.handshake(user, password).await.map_err(|error| FlightError::from_external_error(Box::new(error)))?;
    Ok(client)
}

/// Every byte that a query's stream carries: headers, bodies, application data.
pub async fn raw_bytes(address: &str, ca: &Path, user: &str, password: &str, sql: &str) -> Vec<u8> {
    let mut client = login(address, ca, user, password).await.unwrap();
    let info = client.execute(sql.to_owned(), None).await.unwrap();
    let bearer = format!("Bearer {}", client.token().unwrap());
    let mut bytes = Vec::new();
    for endpoint in info.endpoint {
        let mut request = tonic::Request::new(endpoint.ticket.unwrap());
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
        let mut stream = client.inner_mut().do_get(request).await.unwrap().into_inner();
        while let Some(data) = stream.next().await {
            let FlightData { data_header, data_body, app_metadata, .. } = data.unwrap();
            for part in [data_header, data_body, app_metadata] as [Bytes; 3] {
                bytes.extend_from_slice(&part);
            }
        }
    }
    bytes
}
