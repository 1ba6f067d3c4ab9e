use async_trait::async_trait;
use gestalt_egress::Resolver;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// A resolver that knows the names it was given, and remembers all it was asked for.
#[derive(Default)]
pub struct Names {
    known: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    /// One that knows nothing.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on `name` has these addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        self.known.lock().unwrap().insert(name.to_owned(), addresses);
    }

    /// Every name asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        self.known.lock().unwrap().get(name).cloned().ok_or_else(|| io::Error::other("no such name"))
    }
}
