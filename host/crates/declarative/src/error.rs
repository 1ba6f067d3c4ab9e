/// Why a declarative surface cannot be compiled. Each is a fault of the manifest, found when the app is built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeclarativeError {
    /// The base URL cannot be extended by a path.
    #[error("baseUrl {0}")]
    BaseUrl(&'static str),
    /// Two operations of one name.
    #[error("operation {0:?} is declared twice")]
    DuplicateOperation(String),
    /// Two parameters of one operation with one name, or one name on the wire in the same place.
    #[error("operation {operation:?}: parameter {parameter:?} is declared twice")]
    DuplicateParameter {
        /// The operation.
        operation: String,
        /// The name that occurs twice.
        parameter: String,
    },
    /// A method that no REST operation may have.
    #[error("operation {operation:?}: method {method:?} is not one of GET, POST, PUT, PATCH, DELETE")]
    Method {
        /// The operation.
        operation: String,
        /// As the manifest spells it.
        method: String,
    },
    /// A path that is no URL path, or whose braces do not match.
    #[error("operation {operation:?}: path {reason}")]
    Path {
        /// The operation.
        operation: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header that is none, or that belongs to the connection rather than to the request.
    #[error("header {name:?} {reason}")]
    Header {
        /// As the manifest spells it.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}
