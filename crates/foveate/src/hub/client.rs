//! What a hub is asked: what a file is, and its bytes from some offset.

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};

use crate::error::{Error, Result};

/// Repositories that were renamed answer with one of these; more is a loop.
const MAX_RENAMES: usize = 3;

/// Names and credentials of one hub.
pub(super) struct Client {
    endpoint: String,
    token: Option<String>,
    /// Stops at a redirect, since what a file is stands in the hub's own answer.
    asking: Agent,
    /// Follows redirects to where the bytes are.
    loading: Agent,
}

/// A file that exists.
pub(super) struct Found {
    /// Path inside the repository.
    pub(super) name: String,
    /// The commit that the revision means.
    pub(super) commit: String,
    /// Names the content; the file of that name in the cache holds it.
    pub(super) etag: String,
    /// In bytes.
    pub(super) size: u64,
    url: String,
}

impl Client {
    /// `endpoint` is `https://…`; `token` is sent to it alone.
    pub(super) fn new(endpoint: &str, token: Option<String>) -> Self {
        let config = || {
            Agent::config_builder()
                .user_agent(concat!("foveate/", env!("CARGO_PKG_VERSION")))
                // Statuses are explained here.
                .http_status_as_error(false)
                .timeout_connect(Some(Duration::from_secs(20)))
                .timeout_recv_response(Some(Duration::from_mins(1)))
        };
        let asking = config().max_redirects(0).max_redirects_will_error(false);
        let loading = config().redirect_auth_headers(RedirectAuthHeaders::SameHost);
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token,
            asking: asking.build().into(),
            loading: loading.build().into(),
        }
    }

    /// Asks for a file without loading it; `None` when the repository has no such file.
    pub(super) fn find(
        &self,
        repository: &str,
        revision: &str,
        name: &str,
    ) -> Result<Option<Found>> {
        // A branch may contain a slash, which the hub wants escaped.
        let revision = revision.replace('/', "%2F");
        let mut path = format!("/{repository}/resolve/{revision}/{name}");
        for _ in 0..=MAX_RENAMES {
            let url = format!("{}{path}", self.endpoint);
            let mut request = self.asking.head(&url).header("Accept-Encoding", "identity");
            if let Some(token) = &self.token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let answer = request.call().map_err(|error| self.unreachable(&error))?;
            let status = answer.status().as_u16();
            let elsewhere = header(answer.headers(), "location").unwrap_or_default();
            match status {
                300..400 if elsewhere.starts_with('/') => elsewhere.clone_into(&mut path),
                200..400 => return self.found(name, url, &answer).map(Some),
                404 if is_missing_file(answer.headers()) => return Ok(None),
                _ => return Err(self.refused(repository, &revision, status)),
            }
        }
        let circles = format!("{} sends {repository} in circles", self.endpoint);
        Err(Error::Source(circles))
    }

    /// The bytes of a file from `start` on, and where they really begin: 0 when the server sends all.
    pub(super) fn load(&self, found: &Found, start: u64) -> Result<(u64, impl Read + use<>)> {
        let mut request = self
            .loading
            .get(&found.url)
            .header("Accept-Encoding", "identity");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let answer = request.call().map_err(|error| self.unreachable(&error))?;
        let begins = match answer.status().as_u16() {
            200 => 0,
            206 if ranges_from(answer.headers()) == Some(start) => start,
            status => {
                let unexpected = format!("{}: unexpected answer {status}", found.url);
                return Err(Error::Source(unexpected));
            }
        };
        Ok((begins, answer.into_body().into_reader()))
    }

    fn found<T>(&self, name: &str, url: String, answer: &Response<T>) -> Result<Found> {
        let headers = answer.headers();
        // Large files lie elsewhere; the hub says what they are in headers of its own.
        let etag = header(headers, "x-linked-etag").or(header(headers, "etag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let size = header(headers, "x-linked-size").or(header(headers, "content-length"));
        let commit = header(headers, "x-repo-commit");
        let (Some(etag), Some(size), Some(commit)) = (etag, size, commit) else {
            return Err(Error::Source(format!(
                "{url}: the answer lacks an etag, a size or x-repo-commit; is {} a Hugging Face hub?",
                self.endpoint
            )));
        };
        let Ok(size) = size.parse() else {
            let uncounted = format!("{url}: the size {size:?} is no count of bytes");
            return Err(Error::Source(uncounted));
        };
        Ok(Found {
            name: name.to_owned(),
            commit: commit.to_owned(),
            etag: etag.to_owned(),
            size,
            url,
        })
    }

    fn refused(&self, repository: &str, revision: &str, status: u16) -> Error {
        let endpoint = &self.endpoint;
        Error::Source(match status {
            401 | 403 if self.token.is_none() => format!(
                "{endpoint} does not show {repository} (status {status}): it does not exist, or it is private or \
                 gated; check the name, accept its terms on the hub if it has any, and set HF_TOKEN"
            ),
            401 | 403 => format!(
                "{endpoint} does not show {repository} with this HF_TOKEN (status {status}): check the name, the \
                 token's rights, and whether the model's terms must be accepted on the hub"
            ),
            404 => format!(
                "{endpoint} has no {repository} at {revision} (status 404); check the name and the revision"
            ),
            _ => format!("{endpoint} answered {status} for {repository}; try again later"),
        })
    }

    fn unreachable(&self, error: &ureq::Error) -> Error {
        Error::Source(format!(
            "cannot reach {}: {error}; check the network and HF_ENDPOINT, or give a folder that holds the model",
            self.endpoint
        ))
    }
}

/// Of the reasons for a 404 the hub names the one that only this file is missing.
fn is_missing_file(headers: &HeaderMap) -> bool {
    header(headers, "x-error-code") == Some("EntryNotFound")
}

/// `bytes 100-199/200` → 100.
fn ranges_from(headers: &HeaderMap) -> Option<u64> {
    let range = header(headers, "content-range")?.strip_prefix("bytes ")?;
    range.split('-').next()?.parse().ok()
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}
