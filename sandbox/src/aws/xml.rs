//! Replies of STS in AWS's XML, and in the dialects of stores that imitate it.

use std::borrow::Cow;

use quick_xml::escape::escape;

use crate::settings::dialect::{Dialect, Text};

/// The namespace of every reply of STS.
pub(crate) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An element with children or with text.
pub(crate) struct Element {
    name: Cow<'static, str>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>, children: Vec<Element>) -> Self {
        Self { name: name.into(), text: String::new(), children }
    }

    pub(crate) fn text(name: &'static str, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), children: Vec::new() }
    }

    /// The document with this root.
    pub(crate) fn render(&self, dialect: &Dialect) -> String {
        let mut out = String::new();
        if dialect.prolog {
            out.push_str(r#"<?xml version="1.0" encoding="UTF-8"?>"#);
            out.push('\n');
        }
        self.write(dialect, 0, &mut out);
        out
    }

    fn write(&self, dialect: &Dialect, depth: usize, out: &mut String) {
        if dialect.omit.iter().any(|name| *name == self.name) {
            return;
        }
        let indent = if dialect.pretty { "  ".repeat(depth) } else { String::new() };
        let newline = if dialect.pretty { "\n" } else { "" };
        let name = match &dialect.prefix {
            Some(prefix) => format!("{prefix}:{}", self.name),
            None => self.name.clone().into_owned(),
        };
        out.push_str(&format!("{indent}<{name}"));
        if depth == 0 {
            let colon = dialect.prefix.as_ref().map_or(String::new(), |p| format!(":{p}"));
            out.push_str(&format!(r#" xmlns{colon}="{NAMESPACE}""#));
        }
        out.push('>');
        if self.children.is_empty() {
            match dialect.text {
                Text::Plain => out.push_str(&escape(&self.text)),
                Text::Cdata => out.push_str(&format!("<![CDATA[{}]]>", self.text.replace("]]>", "]]]]><![CDATA[>"))),
                Text::Entities => {
                    out.push_str(&escape(&self.text).replace('+', "&#43;").replace('/', "&#x2F;").replace('=', "&#61;"))
                }
            }
        } else {
            out.push_str(newline);
            let mut children: Vec<_> = self.children.iter().collect();
            if dialect.reversed {
                children.reverse();
            }
            for child in children {
                child.write(dialect, depth + 1, out);
            }
            out.push_str(&indent);
        }
        out.push_str(&format!("</{name}>{newline}"));
    }
}

/// `ErrorResponse` with its request id.
pub(crate) fn error(code: &str, message: &str, status: u16, request_id: &str) -> Element {
    let fault = if status < 500 { "Sender" } else { "Receiver" };
    Element::new(
        "ErrorResponse",
        vec![
            Element::new(
                "Error",
                vec![Element::text("Type", fault), Element::text("Code", code), Element::text("Message", message)],
            ),
            Element::text("RequestId", request_id),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_an_error_as_aws_does() {
        let text = error("AccessDenied", "Not <you>", 403, "id").render(&Dialect::aws());
        assert_eq!(
            text,
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    \
             <Type>Sender</Type>\n    <Code>AccessDenied</Code>\n    <Message>Not &lt;you&gt;</Message>\n  \
             </Error>\n  <RequestId>id</RequestId>\n</ErrorResponse>\n"
        );
    }

    #[test]
    fn writes_the_dialects() {
        let root = Element::new("A", vec![Element::text("B", "x+/=&"), Element::text("C", "c")]);
        let write = |dialect: Dialect| root.render(&Dialect { pretty: false, ..dialect });
        let open = r#"<A xmlns="https://sts.amazonaws.com/doc/2011-06-15/">"#;
        assert_eq!(
            write(Dialect { text: Text::Entities, ..Dialect::minio() }),
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{open}<B>x&#43;&#x2F;&#61;&amp;</B><C>c</C></A>")
        );
        assert_eq!(
            write(Dialect { text: Text::Cdata, reversed: true, ..Dialect::aws() }),
            format!("{open}<C><![CDATA[c]]></C><B><![CDATA[x+/=&]]></B></A>")
        );
        assert_eq!(
            write(Dialect { prefix: Some("s".into()), omit: vec!["B".into()], ..Dialect::aws() }),
            r#"<s:A xmlns:s="https://sts.amazonaws.com/doc/2011-06-15/"><s:C>c</s:C></s:A>"#
        );
    }
}
