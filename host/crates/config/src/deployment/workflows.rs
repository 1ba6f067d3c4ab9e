use crate::problem::Location;
use gestalt_core::{AppName, SubjectRef};
use std::collections::BTreeMap;
use std::fmt;

/// What runs by itself (seed 004, `workflows`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workflows {
    /// At times, by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// On events, by name.
    pub event_triggers: BTreeMap<String, EventTrigger>,
}

/// Runs at times.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// When.
    pub cron: Cron,
    /// IANA name of the time zone `cron` is in. Default `UTC`.
    pub timezone: String,
    /// What, and as whom.
    pub workflow: Workflow,
}

/// Five fields that mean something: minute, hour, day of month, month, day of week.
#[derive(Clone, PartialEq)]
pub struct Cron {
    /// As it was written.
    pub text: String,
    /// What it means.
    pub schedule: croner::Cron,
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// Runs on events that have exactly these.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTrigger {
    /// Type of the event.
    pub kind: String,
    /// Source of the event.
    pub source: Option<String>,
    /// Subject of the event.
    pub subject: Option<String>,
    /// What, and as whom.
    pub workflow: Workflow,
}

/// What is run, and as whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Where its entry begins.
    pub at: Location,
    /// A key of the workflow providers.
    pub provider: String,
    /// Not empty; ids are unique.
    pub steps: Vec<Step>,
    /// As whom; `system:config` when absent.
    pub run_as: Option<RunAs>,
    /// What it may call besides its targets.
    pub invokes: Vec<(AppName, String)>,
    /// Whether it does not run.
    pub paused: bool,
}

/// A service account something runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunAs {
    /// `service_account:…`.
    pub subject: SubjectRef,
    /// Whose credentials, when not the subject's own.
    pub credential_subject: Option<SubjectRef>,
    /// Name for people.
    pub display_name: Option<String>,
    /// How it counts as having logged in.
    pub auth_source: Option<String>,
}

/// One call of an app, or one turn of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Unique among the steps.
    pub id: String,
    /// What is done.
    pub task: Task,
    /// Values, by name.
    pub inputs: BTreeMap<String, Value>,
    /// When given: it runs only if the value equals this text, number or boolean.
    pub when: Option<(Value, serde_json::Value)>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// A call of an app.
    App(AppCall),
    /// A turn of an agent.
    Agent(Box<AgentTurn>),
}

/// A call of an app.
#[derive(Clone, Debug, PartialEq)]
pub struct AppCall {
    /// A key of the apps.
    pub app: AppName,
    /// Its operation.
    pub operation: String,
    /// Its connection.
    pub connection: Option<String>,
    /// Which instance of the connection.
    pub instance: Option<String>,
    /// Parameters of the call.
    pub input: Option<Value>,
}

/// A turn of an agent.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTurn {
    /// A key of the agent providers.
    pub provider: String,
    /// Which model.
    pub model: Option<String>,
    /// Turns with the same key share a session.
    pub session_key: Option<String>,
    /// What is asked. There is this, or there are messages, or both.
    pub prompt: Option<String>,
    /// What was said so far.
    pub messages: Vec<Message>,
    /// What the agent may use.
    pub tools: Vec<Tool>,
    /// JSON Schema of the answer.
    pub response_schema: Option<serde_json::Value>,
    /// For the model's provider.
    pub model_options: Option<serde_json::Value>,
}

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// By whom.
    pub role: String,
    /// The words.
    pub text: String,
    /// Free.
    pub metadata: Option<serde_json::Value>,
}

/// What an agent may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// An app; `None` is the daemon's own `workflow`.
    pub app: Option<AppName>,
    /// One operation; all of the app's when absent.
    pub operation: Option<String>,
    /// The app's connection.
    pub connection: Option<String>,
    /// Which instance of the connection.
    pub instance: Option<String>,
    /// Instead of its own.
    pub title: Option<String>,
    /// Instead of its own.
    pub description: Option<String>,
}

/// A value that may only be known while running.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// This very value.
    Literal(serde_json::Value),
    /// What an earlier step answered, and the dotted path in it.
    StepOutput {
        /// An earlier step.
        step: String,
        /// All of it when absent.
        path: Option<String>,
    },
    /// What the event carried, and the dotted path in it.
    SignalPayload(Option<String>),
    /// What is known of the event, and the dotted path in it.
    SignalMetadata(Option<String>),
}
