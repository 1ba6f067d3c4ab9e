//! `target.steps` of a workflow.

use super::Report;
use super::app::trimmed;
use super::workflows::{Around, app_name, one_of};
use crate::deployment::{AgentTurn, AppCall, Message, Step, Task, Tool, Value};
use crate::path::KeyPath;
use crate::raw::workflows::{
    RawAgentStep, RawAppStep, RawMessage, RawTool, RawWhen, RawWorkflowStep, RawWorkflowValue,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// The steps before the one at hand, whose answers it may use.
type Earlier<'a> = &'a [String];

pub(crate) fn steps(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: Option<Vec<RawWorkflowStep>>,
    around: &Around<'_>,
) -> Vec<Step> {
    let raw = raw.unwrap_or_default();
    if raw.is_empty() {
        report.problem(at, "is required: at least one step");
    }
    let (mut steps, mut ids) = (Vec::new(), Vec::new());
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let id = report.needed(&at.key("id"), raw.id.clone(), "a name that no other step has");
        if id.as_ref().is_some_and(|id| ids.contains(id)) {
            report.problem(&at.key("id"), "is another step's already");
        }
        steps.extend(step(report, &at, raw, id.clone(), &ids, around));
        ids.extend(id);
    }
    steps
}

fn step(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawWorkflowStep,
    id: Option<String>,
    earlier: Earlier<'_>,
    around: &Around<'_>,
) -> Option<Step> {
    let task = match (raw.app, raw.agent) {
        (Some(call), None) => app(report, &at.key("app"), call, earlier, around).map(Task::App),
        (None, Some(turn)) => agent(report, &at.key("agent"), turn, around).map(|turn| Task::Agent(Box::new(turn))),
        (Some(_), Some(_)) => {
            report.problem(at, "has both `app` and `agent`; a step does one thing");
            None
        }
        (None, None) if report.is_troubled(at) => None,
        (None, None) => {
            report.problem(at, "needs `app` or `agent`: what the step does");
            None
        }
    };
    let mut inputs = BTreeMap::new();
    for (name, raw) in raw.inputs.unwrap_or_default() {
        let at = at.key("inputs").key(&name);
        inputs.extend(value(report, &at, raw.unwrap_or_default(), earlier).map(|value| (name, value)));
    }
    let when = raw.when.and_then(|raw| when(report, &at.key("when"), raw, earlier));
    Some(Step { id: id?, task: task?, inputs, when })
}

fn app(
    report: &mut Report<'_>,
    at: &KeyPath,
    raw: RawAppStep,
    earlier: Earlier<'_>,
    around: &Around<'_>,
) -> Option<AppCall> {
    let name = app_name(report, &at.key("name"), raw.name, around.known);
    let operation = report.needed(&at.key("operation"), raw.operation, "an operation of the app");
    let (connection, instance) = slot(report, at, raw.connection, raw.instance);
    let input = raw.input.and_then(|raw| value(report, &at.key("input"), raw, earlier));
    if matches!(&input, Some(Value::Literal(literal)) if !literal.is_object()) {
        report.problem(&at.dotted("input.literal"), "must be a map: the parameters of the call");
    }
    Some(AppCall { app: name?, operation: operation?, connection, instance, input })
}

/// A connection and one of its instances.
fn slot(
    report: &mut Report<'_>,
    at: &KeyPath,
    connection: Option<String>,
    instance: Option<String>,
) -> (Option<String>, Option<String>) {
    let safe = |text: &str, also: &[u8]| text.bytes().all(|b| b.is_ascii_alphanumeric() || also.contains(&b));
    let (connection, instance) = (trimmed(connection), trimmed(instance));
    if connection.as_deref().is_some_and(|name| !safe(name, b"._-")) {
        report.problem(&at.key("connection"), "may hold letters, digits, `.`, `_` and `-` only");
    }
    if instance.as_deref().is_some_and(|name| !safe(name, b"._- ")) {
        report.problem(&at.key("instance"), "may hold letters, digits, `.`, `_`, `-` and spaces only");
    }
    (connection, instance)
}

fn agent(report: &mut Report<'_>, at: &KeyPath, raw: RawAgentStep, around: &Around<'_>) -> Option<AgentTurn> {
    let provider = one_of(report, &at.key("provider"), raw.provider, &around.known.agents, around.agent);
    let prompt = trimmed(raw.prompt);
    let messages_at = at.key("messages");
    let mut messages = Vec::new();
    for (i, raw) in raw.messages.into_iter().flatten().enumerate() {
        messages.extend(message(report, &messages_at.index(i), raw));
    }
    if prompt.is_none() && messages.is_empty() && !report.is_troubled(at) {
        report.problem(at, "needs a `prompt` or `messages`: what the agent is asked");
    }
    let tools = tools(report, &at.key("tools"), raw.tools.unwrap_or_default(), around);
    Some(AgentTurn {
        provider: provider?,
        model: trimmed(raw.model),
        session_key: trimmed(raw.session_key),
        prompt,
        messages,
        tools,
        response_schema: raw.response_schema.map(Json::Object),
        model_options: raw.model_options.map(Json::Object),
    })
}

fn message(report: &mut Report<'_>, at: &KeyPath, raw: RawMessage) -> Option<Message> {
    let role = report.needed(&at.key("role"), raw.role, "who said it");
    let text = report.needed(&at.key("text"), raw.text, "what was said");
    Some(Message { role: role?, text: text?, metadata: raw.metadata.map(Json::Object) })
}

fn tools(report: &mut Report<'_>, at: &KeyPath, raw: Vec<RawTool>, around: &Around<'_>) -> Vec<Tool> {
    let any_system = raw.iter().any(|tool| tool.system.is_some());
    let mut tools = Vec::new();
    for (i, raw) in raw.into_iter().enumerate() {
        let at = at.index(i);
        let (connection, instance) = slot(report, &at, raw.connection, raw.instance);
        let operation = trimmed(raw.operation);
        let app = match (raw.app, raw.system) {
            (Some(app), None) => {
                if any_system && operation.is_none() {
                    report.problem(&at.key("operation"), "is required beside a `system` tool");
                }
                let Some(app) = app_name(report, &at.key("app"), Some(app), around.known) else { continue };
                Some(app)
            }
            (None, Some(_)) => {
                if operation.is_none() {
                    report.problem(&at.key("operation"), "is required: which of the daemon's own");
                }
                for (key, _) in
                    [("connection", &connection), ("instance", &instance)].iter().filter(|(_, v)| v.is_some())
                {
                    report.problem(&at.key(key), "means nothing for a `system` tool");
                }
                None
            }
            _ => {
                report.problem(&at, "needs either `app` or `system`");
                continue;
            }
        };
        let (title, description) = (trimmed(raw.title), trimmed(raw.description));
        tools.push(Tool { app, operation, connection, instance, title, description });
    }
    tools
}

fn when(report: &mut Report<'_>, at: &KeyPath, raw: RawWhen, earlier: Earlier<'_>) -> Option<(Value, Json)> {
    let given = raw.value.unwrap_or_default();
    let looked_at = value(report, &at.key("value"), given, earlier);
    let equals = match raw.equals {
        None if report.is_null(&at.key("equals")) => Json::Null,
        None => {
            report.problem(&at.key("equals"), "is required: what the value is compared with");
            return None;
        }
        Some(Json::Array(_) | Json::Object(_)) => {
            report.problem(&at.key("equals"), "must be text, a number, true or false");
            return None;
        }
        Some(scalar) => scalar,
    };
    Some((looked_at?, equals))
}

/// Exactly one of the forms.
fn value(report: &mut Report<'_>, at: &KeyPath, raw: RawWorkflowValue, earlier: Earlier<'_>) -> Option<Value> {
    let literal = raw.literal.or_else(|| report.is_null(&at.key("literal")).then_some(Json::Null));
    let forms = [
        literal.map(Value::Literal),
        raw.step_output.map(|output| Value::StepOutput {
            step: trimmed(output.step_id).unwrap_or_default(),
            path: trimmed(output.path),
        }),
        raw.signal_payload.map(|signal| Value::SignalPayload(trimmed(signal.path))),
        raw.signal_metadata.map(|signal| Value::SignalMetadata(trimmed(signal.path))),
    ];
    let mut given = forms.into_iter().flatten();
    let (Some(value), None) = (given.next(), given.next()) else {
        if !report.is_troubled(at) {
            report.problem(at, "needs exactly one of `literal`, `stepOutput`, `signalPayload` and `signalMetadata`");
        }
        return None;
    };
    if let Value::StepOutput { step, .. } = &value
        && !earlier.contains(step)
    {
        let at = at.dotted("stepOutput.stepId");
        let hint = match earlier {
            [] => "this is the first step".to_owned(),
            _ => format!(
                "before it come {}",
                crate::shape::list(&earlier.iter().map(String::as_str).collect::<Vec<_>>(), "and")
            ),
        };
        report.hinted(&at, "must name an earlier step", Some(hint));
        return None;
    }
    Some(value)
}
