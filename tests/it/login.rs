//! Logins that are bound to their TLS channel: SCRAM-SHA-256-PLUS.

use tokio_postgres::config::ChannelBinding;

use crate::harness::tls::{self, Binding};
use crate::harness::{Psql, demo};

fn url(more: &str) -> String {
    format!("{}&{more}", demo().credential("analyst", "pg_url"))
}

#[test]
fn psql_binds_its_login_to_the_channel() {
    let password = demo().credential("analyst", "password");
    for binding in ["require", "prefer", "disable"] {
        let psql = Psql::new(&url(&format!("channel_binding={binding}")), &password);
        assert_eq!(psql.rows("SELECT 1"), "1", "{binding}");
    }
    let wrong = Psql::new(&url("channel_binding=require"), "wrong").run("SELECT 1");
    assert!(!wrong.ok && wrong.err.contains("password authentication failed"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_bound_to_another_channel_is_refused() {
    let password = demo().credential("analyst", "password");
    let connect = async |wanted: ChannelBinding, binding: Binding| {
        let mut config = tokio_postgres::Config::new();
        config.host("localhost").port(demo().server.port("pg")).user("analyst").password(&password).dbname("lakeward");
        config.channel_binding(wanted);
        config.connect(tls::connector(&demo().ca()).bound(binding)).await.map(|_| ())
    };
    connect(ChannelBinding::Require, Binding::Seen).await.unwrap();
    connect(ChannelBinding::Prefer, Binding::None).await.unwrap();
    let error = connect(ChannelBinding::Require, Binding::Other).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "28000");
}
