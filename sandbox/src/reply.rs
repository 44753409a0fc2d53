//! An answer before it is sent, with the verdict for the log.

use serde_json::Value;

pub(crate) struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub verdict: String,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>, verdict: impl Into<String>) -> Self {
        Self {
            status,
            headers: vec![("content-type".into(), content_type.into())],
            body: body.into(),
            verdict: verdict.into(),
        }
    }

    pub(crate) fn json(status: u16, body: &Value, verdict: impl Into<String>) -> Self {
        let text = format!("{body:#}\n");
        Self::new(status, "application/json; charset=UTF-8", text, verdict)
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
