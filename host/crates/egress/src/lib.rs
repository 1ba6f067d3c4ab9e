//! Outbound HTTP on an app's behalf: policy, resolve-and-pin, client.
