//! TPC-H's eight tables as Delta tables on local disk.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionConfig, SessionContext};
use lakeward_catalog::{CommitNote, Relation, Table, TableStore, VersionSelector, WriteMode};
use lakeward_engine::Limits;
use lakeward_tests::local_engine::{ADMIN, LocalEngine, execute};
use tokio::runtime::Runtime;
use tpchgen::dates::TPCHDate;
use tpchgen::decimal::TPCHDecimal;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator, PartSuppGenerator,
    RegionGenerator, SupplierGenerator,
};

const ROWS_IN_BATCH: usize = 8192;

const SETUP: &str = "
    CREATE TABLE nation (n_nationkey bigint, n_name text, n_regionkey bigint, n_comment text);
    CREATE TABLE region (r_regionkey bigint, r_name text, r_comment text);
    CREATE TABLE part (p_partkey bigint, p_name text, p_mfgr text, p_brand text, p_type text, p_size int, p_container text, p_retailprice numeric(15,2), p_comment text);
    CREATE TABLE supplier (s_suppkey bigint, s_name text, s_address text, s_nationkey bigint, s_phone text, s_acctbal numeric(15,2), s_comment text);
    CREATE TABLE partsupp (ps_partkey bigint, ps_suppkey bigint, ps_availqty int, ps_supplycost numeric(15,2), ps_comment text);
    CREATE TABLE customer (c_custkey bigint, c_name text, c_address text, c_nationkey bigint, c_phone text, c_acctbal numeric(15,2), c_mktsegment text, c_comment text);
    CREATE TABLE orders (o_orderkey bigint, o_custkey bigint, o_orderstatus text, o_totalprice numeric(15,2), o_orderdate date, o_orderpriority text, o_clerk text, o_shippriority int, o_comment text);
    CREATE TABLE lineitem (l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag text, l_linestatus text, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct text, l_shipmode text, l_comment text)";

/// The tables' names.
pub const TABLES: [&str; 8] = ["nation", "region", "part", "supplier", "partsupp", "customer", "orders", "lineitem"];

/// A column of values of one type.
trait Column {
    fn array(values: Vec<Self>) -> ArrayRef
    where
        Self: Sized;
}

impl Column for i64 {
    fn array(values: Vec<Self>) -> ArrayRef {
        Arc::new(Int64Array::from(values))
    }
}

impl Column for i32 {
    fn array(values: Vec<Self>) -> ArrayRef {
        Arc::new(Int32Array::from(values))
    }
}

impl Column for TPCHDecimal {
    fn array(values: Vec<Self>) -> ArrayRef {
        let hundredths = values.into_iter().map(|value| i128::from(value.into_inner()));
        Arc::new(Decimal128Array::from_iter_values(hundredths).with_precision_and_scale(15, 2).unwrap())
    }
}

impl Column for TPCHDate {
    fn array(values: Vec<Self>) -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(values.into_iter().map(|value| value.to_unix_epoch())))
    }
}

/// Whatever shows as text.
struct Text<T>(T);

impl<T: Display> Column for Text<T> {
    fn array(values: Vec<Self>) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(values.into_iter().map(|Self(value)| value.to_string())))
    }
}

/// Batches of a generator's rows: each column as an expression over a row.
macro_rules! batches {
    ($rows:expr, $row:ident => $($name:literal: $value:expr),+ $(,)?) => {{
        let mut rows = $rows;
        std::iter::from_fn(move || {
            let chunk: Vec<_> = rows.by_ref().take(ROWS_IN_BATCH).collect();
            if chunk.is_empty() {
                return None;
            }
            let columns = vec![$(($name, Column::array(chunk.iter().map(|$row| $value).collect::<Vec<_>>()), true)),+];
            Some(Ok(RecordBatch::try_from_iter_with_nullable(columns).unwrap()))
        })
    }};
}

/// See the module.
pub struct Lake(LocalEngine);

impl Lake {
    /// Makes and fills the tables.
    pub fn open(runtime: &Runtime, scale: f64) -> Self {
        let lake = Self(LocalEngine::on_disk(runtime, Limits::default()));
        runtime.block_on(async {
            execute(&lake.0.login(ADMIN), SETUP).await;
            lake.fill_small(scale).await;
            lake.fill_large(scale).await;
        });
        lake
    }

    async fn fill_small(&self, scale: f64) {
        let rows = NationGenerator::new(scale, 1, 1).iter();
        self.write(
            "nation",
            batches!(rows, row => "n_nationkey": row.n_nationkey, "n_name": Text(row.n_name),
            "n_regionkey": row.n_regionkey, "n_comment": Text(row.n_comment)),
        )
        .await;
        let rows = RegionGenerator::new(scale, 1, 1).iter();
        self.write(
            "region",
            batches!(rows, row => "r_regionkey": row.r_regionkey, "r_name": Text(row.r_name),
            "r_comment": Text(row.r_comment)),
        )
        .await;
        let rows = SupplierGenerator::new(scale, 1, 1).iter();
        self.write(
            "supplier",
            batches!(rows, row => "s_suppkey": row.s_suppkey, "s_name": Text(&row.s_name),
            "s_address": Text(&row.s_address), "s_nationkey": row.s_nationkey, "s_phone": Text(&row.s_phone),
            "s_acctbal": row.s_acctbal, "s_comment": Text(&row.s_comment)),
        )
        .await;
        let rows = PartGenerator::new(scale, 1, 1).iter();
        self.write("part", batches!(rows, row => "p_partkey": row.p_partkey, "p_name": Text(&row.p_name),
            "p_mfgr": Text(&row.p_mfgr), "p_brand": Text(&row.p_brand), "p_type": Text(row.p_type), "p_size": row.p_size,
            "p_container": Text(row.p_container), "p_retailprice": row.p_retailprice, "p_comment": Text(row.p_comment)))
            .await;
    }

    async fn fill_large(&self, scale: f64) {
        let rows = PartSuppGenerator::new(scale, 1, 1).iter();
        self.write(
            "partsupp",
            batches!(rows, row => "ps_partkey": row.ps_partkey, "ps_suppkey": row.ps_suppkey,
            "ps_availqty": row.ps_availqty, "ps_supplycost": row.ps_supplycost, "ps_comment": Text(row.ps_comment)),
        )
        .await;
        let rows = CustomerGenerator::new(scale, 1, 1).iter();
        self.write(
            "customer",
            batches!(rows, row => "c_custkey": row.c_custkey, "c_name": Text(&row.c_name),
            "c_address": Text(&row.c_address), "c_nationkey": row.c_nationkey, "c_phone": Text(&row.c_phone),
            "c_acctbal": row.c_acctbal, "c_mktsegment": Text(row.c_mktsegment), "c_comment": Text(row.c_comment)),
        )
        .await;
        let rows = OrderGenerator::new(scale, 1, 1).iter();
        self.write(
            "orders",
            batches!(rows, row => "o_orderkey": row.o_orderkey, "o_custkey": row.o_custkey,
            "o_orderstatus": Text(&row.o_orderstatus), "o_totalprice": row.o_totalprice, "o_orderdate": row.o_orderdate,
            "o_orderpriority": Text(row.o_orderpriority), "o_clerk": Text(&row.o_clerk),
            "o_shippriority": row.o_shippriority, "o_comment": Text(row.o_comment)),
        )
        .await;
        let rows = LineItemGenerator::new(scale, 1, 1).iter();
        self.write(
            "lineitem",
            batches!(rows, row => "l_orderkey": row.l_orderkey, "l_partkey": row.l_partkey,
            "l_suppkey": row.l_suppkey, "l_linenumber": row.l_linenumber,
            "l_quantity": TPCHDecimal::new(row.l_quantity * 100), "l_extendedprice": row.l_extendedprice,
            "l_discount": row.l_discount, "l_tax": row.l_tax, "l_returnflag": Text(row.l_returnflag),
            "l_linestatus": Text(row.l_linestatus), "l_shipdate": row.l_shipdate, "l_commitdate": row.l_commitdate,
            "l_receiptdate": row.l_receiptdate, "l_shipinstruct": Text(row.l_shipinstruct),
            "l_shipmode": Text(row.l_shipmode), "l_comment": Text(row.l_comment)),
        )
        .await;
    }

    async fn write<I>(&self, name: &str, batches: I)
    where
        I: Iterator<Item = datafusion::common::Result<RecordBatch>> + Send + 'static,
    {
        let table = self.table(name);
        let mut batches = batches.peekable();
        let Some(Ok(first)) = batches.peek() else { panic!("{name} has rows") };
        let schema = first.schema();
        let note = CommitNote {
            user_name: "bench".to_owned(),
            statement_id: "bench".to_owned(),
            catalog_epoch: self.0.catalog.snapshot().epoch(),
        };
        let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches));
        self.0.store.write(&table, WriteMode::Append, Box::pin(stream), &note).await.unwrap();
    }

    fn table(&self, name: &str) -> Arc<Table> {
        let snapshot = self.0.catalog.snapshot();
        let Some(Relation::Table(table)) = snapshot.relation("public", name) else { panic!("no table {name}") };
        table
    }

    /// Where a table's files are.
    pub fn location(&self, name: &str) -> String {
        self.table(name).location.clone()
    }

    /// Plain DataFusion over the same files, with the same reader.
    pub async fn plain(&self) -> SessionContext {
        let partitions = std::thread::available_parallelism().unwrap().get();
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
        for name in TABLES {
            let raw = self.0.store.open(&self.table(name), VersionSelector::Latest).await.unwrap();
            context.register_table(name, raw.privileged_provider()).unwrap();
        }
        context
    }
}
