use gestalt_core::audit::{Egress, Invocation, Record, Sink};
use std::sync::{Arc, Mutex};

/// Keeps every audit record.
#[derive(Default)]
pub struct Audit(Mutex<Vec<Record>>);

impl Audit {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The records of invocations, in the order in which these ended.
    pub fn invocations(&self) -> Vec<Invocation> {
        let pick = |record: &Record| match record {
            Record::Invocation(invocation) => Some(invocation.clone()),
            Record::Egress(_) => None,
        };
        self.0.lock().unwrap().iter().filter_map(pick).collect()
    }

    /// The records of outgoing requests.
    pub fn egress(&self) -> Vec<Egress> {
        let pick = |record: &Record| match record {
            Record::Egress(egress) => Some(egress.clone()),
            Record::Invocation(_) => None,
        };
        self.0.lock().unwrap().iter().filter_map(pick).collect()
    }
}

impl Sink for Audit {
    fn record(&self, record: Record) {
        self.0.lock().unwrap().push(record);
    }
}
