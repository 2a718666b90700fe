//! What a view computes, as its planner hands it down: expressions over columns, no SQL.
//!
//! The planner (the engine) has resolved names, coerced types and simplified; here nothing is looked up any more.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use datafusion_physical_expr::PhysicalExpr;

pub use crate::operator::finish::Finish;
pub use crate::operator::groups::Aggregation;
pub use crate::operator::window::Window;

use crate::error::StreamError;
use crate::operator::Operator;
use crate::operator::aggregate::Aggregate;
use crate::operator::latest::Latest;
use crate::operator::project::{Project, Projection};
use crate::row::RowCodec;
use crate::row_id::ViewVersion;

/// An expression over the columns of the step before.
pub type Expr = Arc<dyn PhysicalExpr>;

/// A continuous view over one stream.
#[derive(Debug, Clone)]
pub struct ViewDefinition {
    /// Which view it is. What the state was written by another version of is not read.
    pub view: ViewVersion,
    /// The branches of its UNION ALL over the stream's columns; one where there is none. All have the same columns.
    pub branches: Vec<Finish>,
    /// What becomes of the branches' rows.
    pub shape: Shape,
    /// For how long rows are kept after they last changed, in microseconds.
    pub retention_us: i64,
}

/// What becomes of the rows that the branches make.
#[derive(Debug, Clone)]
pub enum Shape {
    /// They are the view's rows.
    Rows,
    /// The first of each key is.
    Latest(LatestDefinition),
    /// They are aggregated.
    Aggregate(AggregateDefinition),
}

/// The first row of each key by an order.
#[derive(Debug, Clone)]
pub struct LatestDefinition {
    /// The key's columns, of those that the branches make.
    pub keys: Vec<usize>,
    /// The order's columns, the first of which says most.
    pub order: Vec<(usize, SortOptions)>,
    /// What is shown, over the columns that the branches make.
    pub finish: Finish,
}

/// `GROUP BY`.
#[derive(Debug, Clone)]
pub struct AggregateDefinition {
    /// The key's columns, of those that the branches make; without the window's.
    pub keys: Vec<usize>,
    /// The windows, if any.
    pub window: Option<Window>,
    /// The aggregates, over the columns that the branches make.
    pub aggregations: Vec<Aggregation>,
    /// What is shown, over the keys, with windows `window_start` and `window_end`, and the aggregates.
    pub finish: Finish,
}

impl ViewDefinition {
    /// The view's columns.
    #[must_use]
    pub fn schema(&self) -> Option<&SchemaRef> {
        match &self.shape {
            Shape::Rows => self.branches.first().map(|branch| &branch.schema),
            Shape::Latest(latest) => Some(&latest.finish.schema),
            Shape::Aggregate(aggregate) => Some(&aggregate.finish.schema),
        }
    }

    /// Whether rows are kept under a key, and replaced; else the view only gains rows.
    pub(crate) fn is_keyed(&self) -> bool {
        !matches!(self.shape, Shape::Rows)
    }

    /// Whether the operator forgets its keys with their rows; else rows outlive the operator's state.
    pub(crate) fn keeps_keys(&self) -> bool {
        match &self.shape {
            Shape::Rows => false,
            Shape::Latest(_) => true,
            Shape::Aggregate(aggregate) => aggregate.window.is_none(),
        }
    }

    /// The codec of the view's rows.
    pub(crate) fn codec(&self) -> Result<RowCodec, StreamError> {
        let schema = self.schema().ok_or(StreamError::Definition { why: "a view selects nothing" })?;
        RowCodec::new(schema.fields().iter().map(|field| (field.name().as_str(), field.data_type())))
    }

    /// Its computation over stream `source`, without state.
    pub(crate) fn operator(&self, source: u64) -> Result<Box<dyn Operator>, StreamError> {
        let projection = Projection::new(self.branches.clone())?;
        Ok(match &self.shape {
            Shape::Rows => Box::new(Project::new(self.view, source, projection)),
            Shape::Latest(latest) => Box::new(Latest::new(self.view, projection, latest.clone())?),
            Shape::Aggregate(aggregate) => Box::new(Aggregate::new(self.view, projection, aggregate.clone())?),
        })
    }
}
