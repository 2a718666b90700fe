//! What `/metrics` shows, read from the parts at each scrape.
//!
//! Invariant: labels are words of a fixed list (statement classes, SQLSTATEs), never a user's.

use std::fmt;

use lakeward_catalog::Catalog;
use lakeward_engine::{Engine, StatementCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The page.
///
/// # Errors
/// Where the text cannot be written, which does not happen.
pub fn render(engine: &Engine, catalog: &Catalog) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("lakeward");
    registry.register_collector(Box::new(Readings::take(engine, catalog)));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

/// All readings of one scrape: name, help, value.
#[derive(Debug)]
struct Readings {
    gauges: Vec<(&'static str, &'static str, i64)>,
    counters: Vec<(&'static str, &'static str, u64)>,
    statements: StatementCounts,
}

impl Readings {
    fn take(engine: &Engine, catalog: &Catalog) -> Self {
        let (audit, load) = (engine.audit().stats(), engine.load());
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            gauges: vec![
                ("sessions", "Open sessions of all protocols", gauge(engine.session_count() as u64)),
                ("statements_running", "Statements that have their turn", gauge(load.running as u64)),
                ("statements_waiting", "Statements that wait for their turn", gauge(load.waiting as u64)),
                ("audit_healthy", "1 while the audit log takes records", i64::from(audit.healthy)),
                ("audit_queue_depth", "Audit records that wait to be made durable", gauge(audit.queue_depth)),
                ("policy_epoch", "Version of the catalog", gauge(catalog.snapshot().epoch().0)),
            ],
            counters: vec![
                ("audit_records", "Audit records made durable", audit.records),
                ("audit_bytes", "Bytes of audit records made durable", audit.bytes),
                ("audit_syncs", "Times that audit records were made durable, many at once", audit.syncs),
                ("audit_failures", "Failed attempts to make audit records durable", audit.failures),
                ("audit_refused_statements", "Statements refused because the audit log was unavailable", audit.refused),
                ("audit_lost_records", "Audit records that could not be kept", audit.lost),
                ("audit_unpublished_heads", "Heads that could not be kept in the second place", audit.unpublished),
            ],
            statements: engine.statement_counts(),
        }
    }
}

impl Collector for Readings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        for (name, help, value) in &self.gauges {
            let metric = ConstGauge::new(*value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        for (name, help, value) in &self.counters {
            let metric = ConstCounter::new(*value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let rows = ConstCounter::new(self.statements.rows);
        rows.encode(encoder.encode_descriptor("rows", "Rows handed out or written", None, rows.metric_type())?)?;
        let help = "Statements finished, by class and SQLSTATE";
        let mut family = encoder.encode_descriptor("statements", help, None, MetricType::Counter)?;
        for ((class, sqlstate), count) in &self.statements.finished {
            let labels = [("class", *class), ("sqlstate", sqlstate.as_str())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
