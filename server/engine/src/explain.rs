//! EXPLAIN, rendered here from a plan that was made like any other.
//!
//! DataFusion's own EXPLAIN turns planning errors into rows of raw text. Invariant: what is shown comes from nodes above
//! the barrier; a governed scan shows its name and metrics of governed rows only.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use serde_json::{Value, json};

/// How a plan is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) analyze: bool,
    pub(crate) verbose: bool,
    pub(crate) json: bool,
}

/// The one column.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("QUERY PLAN", DataType::Utf8, false)]))
}

/// The plan as rows; with ANALYZE it is run first and its rows are discarded.
pub(crate) fn rows(plan: Arc<dyn ExecutionPlan>, task: Arc<TaskContext>, form: Form) -> SendableRecordBatchStream {
    let shown = async move {
        if form.analyze {
            let mut discarded = execute_stream(Arc::clone(&plan), task)?;
            while let Some(batch) = discarded.next().await {
                batch?;
            }
        }
        let lines = if form.json { json_text(&plan)? } else { text(&plan, form) };
        let column: StringArray = lines.lines().map(Some).collect();
        Ok(RecordBatch::try_new(schema(), vec![Arc::new(column)])?)
    };
    Box::pin(RecordBatchStreamAdapter::new(schema(), futures::stream::once(shown)))
}

fn text(plan: &Arc<dyn ExecutionPlan>, form: Form) -> String {
    let displayed = if form.analyze {
        DisplayableExecutionPlan::with_metrics(plan.as_ref())
    } else {
        DisplayableExecutionPlan::new(plan.as_ref())
    };
    displayed.indent(form.verbose).to_string()
}

fn json_text(plan: &Arc<dyn ExecutionPlan>) -> Result<String, DataFusionError> {
    let document = json!([{ "Plan": node(plan) }]);
    serde_json::to_string_pretty(&document).map_err(|error| DataFusionError::External(Box::new(error)))
}

fn node(plan: &Arc<dyn ExecutionPlan>) -> Value {
    let line = DisplayableExecutionPlan::new(plan.as_ref()).one_line().to_string();
    let children: Vec<Value> = plan.children().into_iter().map(node).collect();
    let mut shown = json!({ "Node Type": plan.name(), "Detail": line.trim() });
    if let (Some(fields), false) = (shown.as_object_mut(), children.is_empty()) {
        fields.insert("Plans".to_owned(), Value::Array(children));
    }
    shown
}
