//! What manifests say about operations that upstream documents describe.

/// An operation that is offered, and what is different about it (seed 003, `spec.allowedOperations`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedOperation {
    /// Its id for callers, when it is not the upstream's.
    pub alias: Option<String>,
    /// Instead of the upstream's.
    pub description: Option<String>,
    /// Roles that may call it; empty means every role.
    pub allowed_roles: Vec<String>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Whether one call fetches several pages; as the app's `pagination` says when `None`.
    pub paginate: Option<bool>,
    /// What differs from the app's `pagination`.
    pub pagination: Option<PaginationOverride>,
    /// GraphQL: the document to send.
    pub graphql: Option<GraphqlDocument>,
}

/// A GraphQL document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlDocument {
    /// Its text.
    pub document: String,
    /// Which of its operations is meant, when it has several.
    pub operation_name: Option<String>,
}

/// How an upstream hands out results page by page (seed 003, `spec.pagination`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pagination {
    /// What a request says to get the next page.
    pub style: PaginationStyle,
    /// The rest.
    pub details: PaginationDetails,
}

/// What of a [`Pagination`] is different for one operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaginationOverride {
    /// Another style.
    pub style: Option<PaginationStyle>,
    /// What is set here replaces what is set there.
    pub details: PaginationDetails,
}

/// How pages are asked for and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaginationDetails {
    /// Query parameter for the cursor.
    pub cursor_param: Option<String>,
    /// Where the answer has the next cursor.
    pub cursor: Option<Pick>,
    /// Query parameter for the page's size.
    pub limit_param: Option<String>,
    /// Size of a page when the caller names none; above zero.
    pub default_limit: Option<u32>,
    /// Dotted path of the results in the body; empty when the whole body is the results.
    pub results_path: Option<String>,
    /// Most pages one call fetches; above zero.
    pub max_pages: Option<u32>,
}

impl Pagination {
    /// This, with what `other` sets.
    pub fn overridden(&self, other: &PaginationOverride) -> Self {
        let (ours, theirs) = (&self.details, &other.details);
        Self {
            style: other.style.unwrap_or(self.style),
            details: PaginationDetails {
                cursor_param: theirs.cursor_param.clone().or_else(|| ours.cursor_param.clone()),
                cursor: theirs.cursor.clone().or_else(|| ours.cursor.clone()),
                limit_param: theirs.limit_param.clone().or_else(|| ours.limit_param.clone()),
                default_limit: theirs.default_limit.or(ours.default_limit),
                results_path: theirs.results_path.clone().or_else(|| ours.results_path.clone()),
                max_pages: theirs.max_pages.or(ours.max_pages),
            },
        }
    }
}

/// What a request says to get the next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaginationStyle {
    /// What the last answer said.
    Cursor,
    /// How many results it has seen.
    Offset,
    /// The number of the page.
    Page,
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// At this dotted path of the body.
    Body(String),
    /// In this header.
    Header(String),
}

/// Where answers have their results (seed 003, `spec.responseMapping`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseMapping {
    /// Dotted path of the list of results.
    pub data_path: String,
    /// What says whether there is more.
    pub has_more: Option<Pick>,
    /// Where it goes on.
    pub cursor: Option<Pick>,
}
