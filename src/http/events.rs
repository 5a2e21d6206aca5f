//! Server-sent events: HTML Standard, section 9.2.

use super::ResponseError;
use std::borrow::Cow;
use std::time::Duration;

/// An event of a stream that [`Response::events`](super::Response::events) begins: what a page's `EventSource` is told.
///
/// It is sent to one peer by [`Conn::send`](crate::Conn::send) or [`BodySender::send_event`](super::BodySender::send_event), and to
/// many by [`Group::send`](crate::Group::send), which encodes it once. A page that connects again says in the field
/// `Last-Event-ID` which event was the last that it has: `request.header("last-event-id")`.
///
/// ```
/// use tiderace::http::Event;
///
/// let event = Event::data("two\nlines").name("news").id("7");
/// assert_eq!(event.text().unwrap(), "id: 7\nevent: news\ndata: two\ndata: lines\n\n");
/// assert_eq!(Event::comment("still here").text().unwrap(), ": still here\n\n");
/// assert!(Event::data("").id("a\nb").text().is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    data: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    retry: Option<Duration>,
    comment: Option<Cow<'a, str>>,
}

impl<'a> Event<'a> {
    /// An event with data, which may have several lines. A page gets them with line feeds between them, whatever their ends are
    /// here.
    pub fn data(data: impl Into<Cow<'a, str>>) -> Event<'a> {
        Event { data: Some(data.into()), ..Event::default() }
    }

    /// A comment, which pages do not see. It keeps a connection from being taken for dead on its way.
    pub fn comment(comment: impl Into<Cow<'a, str>>) -> Event<'a> {
        Event { comment: Some(comment.into()), ..Event::default() }
    }

    /// Sets how long a page waits before it connects again when the stream has ended, in milliseconds on the wire; longer than
    /// 2^64 of those are that many. Without data this is no event, but a setting.
    pub fn retry(mut self, after: Duration) -> Event<'a> {
        self.retry = Some(after);
        self
    }

    /// Only that setting.
    pub fn retry_after(after: Duration) -> Event<'a> {
        Event::default().retry(after)
    }

    /// Sets the type of the event, which a page listens for by `addEventListener`. Without one it is a `message`. It has no line
    /// end in it.
    pub fn name(mut self, name: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.name = Some(name.into());
        self
    }

    /// Sets the id of the event, which a page says when it connects again. An empty one has it say none. It has neither line ends
    /// nor a NUL in it, because pages pass over such an id.
    pub fn id(mut self, id: impl Into<Cow<'a, str>>) -> Event<'a> {
        self.id = Some(id.into());
        self
    }

    /// The text of the event as it is sent, with the empty line behind it.
    ///
    /// # Errors
    /// [`ResponseError::Event`] when its name has a line end in it, or its id a line end or a NUL.
    pub fn text(&self) -> Result<String, ResponseError> {
        let is_wrong = |text: &str, also: &[char]| text.contains(['\r', '\n']) || text.contains(also);
        let wrong_name = self.name.as_ref().is_some_and(|name| is_wrong(name, &[]));
        if wrong_name || self.id.as_ref().is_some_and(|id| is_wrong(id, &['\0'])) {
            return Err(ResponseError::Event);
        }
        let mut text = String::new();
        let mut put = |field: &str, value: &str| {
            // A space behind the colon is passed over, so one that is a part of the value is kept.
            [field, ": ", value, "\n"].into_iter().for_each(|part| text.push_str(part));
        };
        if let Some(comment) = &self.comment {
            lines(comment).for_each(|line| put("", line));
        }
        if let Some(retry) = self.retry {
            put("retry", &u64::try_from(retry.as_millis()).unwrap_or(u64::MAX).to_string());
        }
        if let Some(id) = &self.id {
            put("id", id);
        }
        if let Some(name) = &self.name {
            put("event", name);
        }
        if let Some(data) = &self.data {
            lines(data).for_each(|line| put("data", line));
        }
        text.push('\n');
        Ok(text)
    }
}

/// The lines of a text, whatever they end with: CR LF, LF, or CR. There is at least one.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let Some(end) = whole.find(['\r', '\n']) else { return rest.take() };
        let behind = if whole[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&whole[behind..]);
        Some(&whole[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_several_lines_is_several_fields() {
        for (data, text) in [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a", "data:  a\n\n"),
            ("a\n", "data: a\ndata: \n\n"),
            ("a\rb\nc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
            ("\r\n\n\r", "data: \ndata: \ndata: \ndata: \n\n"),
            ("id: 1\nevent: x", "data: id: 1\ndata: event: x\n\n"),
        ] {
            assert_eq!(Event::data(data).text().as_deref(), Ok(text), "{data:?}");
        }
    }
}
