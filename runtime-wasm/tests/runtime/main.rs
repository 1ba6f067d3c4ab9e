//! The runtime with real components: what it runs, what it bounds, what it refuses.

mod boundary;
mod bounds;
mod calls;
mod examples;
mod fixture;
mod loading;
mod services;
mod zz_tmp;
