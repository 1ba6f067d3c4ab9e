//! `workflows`: what runs by itself.

use super::app::RawRunAs;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What runs by itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkflows {
    /// At times, by name.
    pub(crate) schedules: Option<BTreeMap<String, Option<RawSchedule>>>,
    /// On events, by name.
    pub(crate) event_triggers: Option<BTreeMap<String, Option<RawTrigger>>>,
}

/// Runs at times.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawSchedule {
    /// Minute, hour, day of month, month, day of week.
    pub(crate) cron: Option<String>,
    /// IANA name; `UTC` when absent.
    pub(crate) timezone: Option<String>,
    #[serde(flatten)]
    pub(crate) workflow: RawWorkflow,
}

/// Runs on events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(crate) struct RawTrigger {
    /// Which events.
    #[serde(rename = "match")]
    pub(crate) matches: Option<RawMatch>,
    #[serde(flatten)]
    pub(crate) workflow: RawWorkflow,
}

/// Which events: those that have exactly these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMatch {
    /// Of the event.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Of the event.
    pub(crate) source: Option<String>,
    /// Of the event.
    pub(crate) subject: Option<String>,
}

/// What is run, and as whom.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkflow {
    /// A key of `providers.workflow`; the only or default one when absent.
    pub(crate) provider: Option<String>,
    /// What is run.
    pub(crate) target: Option<RawWorkflowTarget>,
    /// As whom; `system:config` when absent.
    pub(crate) run_as: Option<RawRunAs>,
    /// What it may call besides its targets.
    pub(crate) invokes: Option<Vec<RawGrant>>,
    /// Whether it does not run.
    pub(crate) paused: Option<bool>,
}

/// What is run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkflowTarget {
    /// One after the other.
    pub(crate) steps: Option<Vec<RawWorkflowStep>>,
}

/// One call of an app, or one turn of an agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkflowStep {
    /// Unique among the steps.
    pub(crate) id: Option<String>,
    /// A call of an app.
    pub(crate) app: Option<RawAppStep>,
    /// A turn of an agent.
    pub(crate) agent: Option<RawAgentStep>,
    /// Values, by name.
    pub(crate) inputs: Option<BTreeMap<String, Option<RawWorkflowValue>>>,
    /// Whether it runs at all.
    pub(crate) when: Option<RawWhen>,
}

/// A call of an app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAppStep {
    /// A key of `apps`.
    pub(crate) name: Option<String>,
    /// Its operation.
    pub(crate) operation: Option<String>,
    /// Its connection.
    pub(crate) connection: Option<String>,
    /// Which instance of the connection.
    pub(crate) instance: Option<String>,
    /// Parameters of the call: an object.
    pub(crate) input: Option<RawWorkflowValue>,
}

/// A turn of an agent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawAgentStep {
    /// A key of `providers.agent`; the only or default one when absent.
    pub(crate) provider: Option<String>,
    /// Which model.
    pub(crate) model: Option<String>,
    /// Turns with the same key share a session.
    pub(crate) session_key: Option<String>,
    /// What is asked; or `messages`.
    pub(crate) prompt: Option<String>,
    /// What was said so far.
    pub(crate) messages: Option<Vec<RawMessage>>,
    /// What the agent may use.
    pub(crate) tools: Option<Vec<RawTool>>,
    /// JSON Schema of the answer.
    pub(crate) response_schema: Option<Map<String, Value>>,
    /// For the model's provider.
    pub(crate) model_options: Option<Map<String, Value>>,
}

/// What was said.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawMessage {
    /// By whom.
    pub(crate) role: Option<String>,
    /// The words.
    pub(crate) text: Option<String>,
    /// Free.
    pub(crate) metadata: Option<Map<String, Value>>,
}

/// What an agent may use: exactly one of `app` and `system`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawTool {
    /// A key of `apps`.
    pub(crate) app: Option<String>,
    /// A part of the daemon.
    pub(crate) system: Option<RawSystemTool>,
    /// One operation; all of the app's when absent.
    pub(crate) operation: Option<String>,
    /// The app's connection.
    pub(crate) connection: Option<String>,
    /// Which instance of the connection.
    pub(crate) instance: Option<String>,
    /// Instead of its own.
    pub(crate) title: Option<String>,
    /// Instead of its own.
    pub(crate) description: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum RawSystemTool {
    Workflow,
}

/// Whether a step runs: if the value equals.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWhen {
    /// What is looked at.
    pub(crate) value: Option<RawWorkflowValue>,
    /// Text, a number, true or false.
    pub(crate) equals: Option<Value>,
}

/// A value that may only be known while running: exactly one of the forms.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawWorkflowValue {
    /// This very value.
    pub(crate) literal: Option<Value>,
    /// What an earlier step answered.
    pub(crate) step_output: Option<RawStepOutput>,
    /// What the event carried.
    pub(crate) signal_payload: Option<RawSignal>,
    /// What is known of the event.
    pub(crate) signal_metadata: Option<RawSignal>,
}

/// What an earlier step answered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawStepOutput {
    /// The step.
    pub(crate) step_id: Option<String>,
    /// Dotted path in its answer; all of it when absent.
    pub(crate) path: Option<String>,
}

/// Part of the event.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawSignal {
    /// Dotted path; all of it when absent.
    pub(crate) path: Option<String>,
}

/// What may be called.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawGrant {
    /// A key of `apps`.
    pub(crate) app: Option<String>,
    /// Its operation.
    pub(crate) operation: Option<String>,
}
