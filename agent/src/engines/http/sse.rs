//! Server-sent events: bytes in any pieces -> the data of each event. Pure.
//!
//! The format is that of the WHATWG's HTML standard, section 9.2.6: lines end with CR, LF or both,
//! a line that begins with a colon is a comment, several `data` lines of an event are joined with
//! LF, and a byte order mark may come first. `id` and `retry` mean nothing here, since nothing is
//! reconnected. Lines and events are bounded, which no published parser offers.

/// The most bytes of an event and of a line: longer ones are no piece of a summary.
pub(super) const MAX_EVENT_BYTES: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// An event with data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; empty if it names none.
    pub(super) name: String,
    pub(super) data: String,
}

#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The line that has not ended yet, without a byte order mark.
    line: Vec<u8>,
    /// The last byte was a CR, so that a LF belongs to it.
    is_after_cr: bool,
    has_begun: bool,
    name: Vec<u8>,
    /// With a LF after each line.
    data: Vec<u8>,
    has_data: bool,
}

/// A line or an event is longer than [`MAX_EVENT_BYTES`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes the next bytes and hands over the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut left = bytes;
        if std::mem::take(&mut self.is_after_cr) {
            match left.first() {
                Some(b'\n') => left = &left[1..],
                Some(_) => {}
                None => self.is_after_cr = true,
            }
        }
        while let Some(end) = left.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.extend(&left[..end])?;
            let is_cr = left[end] == b'\r';
            left = &left[end + 1..];
            match left.first() {
                Some(b'\n') if is_cr => left = &left[1..],
                None => self.is_after_cr = is_cr,
                Some(_) => {}
            }
            events.extend(self.end_line()?);
        }
        self.extend(left)?;
        Ok(events)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len() + bytes.len() > MAX_EVENT_BYTES {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let whole = std::mem::take(&mut self.line);
        let mut line = whole.as_slice();
        if !std::mem::replace(&mut self.has_begun, true) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.end_event());
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (field, value) = match colon {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.data.len() + value.len() >= MAX_EVENT_BYTES {
                    return Err(TooLong);
                }
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
                self.has_data = true;
            }
            b"event" => self.name = value.to_vec(),
            // Comments, `id`, `retry` and unknown fields.
            _ => {}
        }
        Ok(None)
    }

    fn end_event(&mut self) -> Option<Event> {
        let (name, mut data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        data.pop();
        let text = |bytes: Vec<u8>| match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        // An event without data isn't one.
        std::mem::take(&mut self.has_data).then(|| Event { name: text(name), data: text(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Vec<Event> {
        Parser::default().push(bytes).unwrap()
    }

    fn data(bytes: &str) -> Vec<String> {
        all(bytes.as_bytes()).into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn lines_end_with_cr_lf_or_both() {
        for end in ["\n", "\r", "\r\n"] {
            let stream = "data: a|data: b||data: c||".replace('|', end);
            assert_eq!(data(&stream), ["a\nb", "c"], "{end:?}");
        }
        // A CR ends a line of its own, so two of them end the event.
        assert_eq!(data("data: a\r\rdata: b\n\r"), ["a", "b"]);
    }

    #[test]
    fn comments_and_unknown_fields_are_skipped_and_one_blank_is_removed() {
        let stream = "\u{feff}: ping\nid: 7\nretry: 10\nother: x\ndata:  two blanks\n\n: ping\n\n";
        assert_eq!(data(stream), [" two blanks"]);
        assert_eq!(data("data\n\ndata:\ndata:\n\nevent: only a name\n\n"), ["", "\n"]);
        let named = all(b"event: error\ndata: no\n\ndata: yes\n\n");
        assert_eq!((named[0].name.as_str(), named[1].name.as_str()), ("error", ""));
    }

    #[test]
    fn an_event_without_its_blank_line_is_not_there_yet() {
        assert_eq!(data("data: a\n"), Vec::<String>::new());
    }

    #[test]
    fn bytes_that_are_no_utf_8_do_not_end_the_stream() {
        let events = all(b"data: a\xff\n\ndata: b\n\n");
        assert_eq!((events[0].data.as_str(), events[1].data.as_str()), ("a\u{fffd}", "b"));
    }

    #[test]
    fn endless_lines_and_events_are_refused() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; MAX_EVENT_BYTES / 2 + 1];
        assert!(parser.push(&piece).is_ok());
        assert_eq!(parser.push(&piece), Err(TooLong));
        let line = [b"data: ", &piece[..], b"\n"].concat();
        let mut parser = Parser::default();
        assert!(parser.push(&line).is_ok());
        assert_eq!(parser.push(&line), Err(TooLong));
    }

    /// Lines as servers write them, and such that come close.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just("data: {\"text\": \"Zoë – 会议 🎉\"}".to_owned()),
            Just("data:[DONE]".to_owned()),
            Just(": ping".to_owned()),
            Just("event: error".to_owned()),
            Just(String::new()),
            ".{0,12}",
        ];
        let end = prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("\n\n")];
        let lines = prop::collection::vec((line, end), 0..20);
        (any::<bool>(), lines).prop_map(|(has_mark, lines)| {
            let mark = if has_mark { "\u{feff}" } else { "" };
            let lines: String = lines.into_iter().map(|(line, end)| line + end).collect();
            format!("{mark}{lines}").into_bytes()
        })
    }

    proptest! {
        #[test]
        fn every_split_of_the_bytes_gives_the_same_events(
            bytes in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            let events: Vec<Event> = pieces.flat_map(|piece| parser.push(piece).unwrap()).collect();
            prop_assert_eq!(&events, &all(&bytes));
            let mut parser = Parser::default();
            let one_by_one: Vec<Event> =
                bytes.chunks(1).flat_map(|byte| parser.push(byte).unwrap()).collect();
            prop_assert_eq!(&one_by_one, &events);
        }
    }
}
