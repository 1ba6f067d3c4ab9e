//! Every rule of every format, as files: `x.yaml` and what comes out of it, `x.snap` or `x.err`.

mod catalogs;
mod configs;
mod fixture;
mod large;
mod manifests;
