//! JSON: objects one behind another, on a line each or over several, or arrays of them.
//!
//! The scanner checks where values begin and end, and looks no closer at what is not asked for: numbers of any size, NaN and
//! Infinity (which Python writes), half surrogate pairs, keys that occur twice, bytes that are no UTF-8 and nesting of any depth
//! are no reason to lose a document. Of a key that occurs twice the last value counts, as in Python.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::path::PathBuf;

use contract::Error;
use contract::pipeline::CorpusFormat;

use super::{Format, Opened, never, unknown_size};
use serde_json::Value as Json;

use crate::columns::{CHAT, Columns, Row, Value, missing, no_value, number_key, wrong_type};
use crate::discovery::CorpusFile;
use crate::document::{Fault, Flaw, FlawKind, Guess, Item, Position};
use crate::encoding::not_utf8;
use crate::input::{Input, TextInput};
use crate::limits::too_long;

pub(super) static JSON: Format = Format {
    name: "JSON",
    setting: CorpusFormat::Jsonl,
    endings: &[&["jsonl", "ndjson", "jsonlines"], &["json"]],
    has_columns: true,
    is_certain: never,
    is_likely,
    open,
    size: unknown_size,
};

/// Fewest bytes that are read at a time where a value does not end with its line.
const CHUNK: usize = 1 << 16;

fn open(input: Input, file: &CorpusFile, columns: &Columns) -> Result<Opened, Fault> {
    let TextInput {
        path,
        reader,
        mut guesses,
    } = input.into_text()?;
    let mut window = Window::new(reader, file.max_document_bytes);
    let taken = window.enter_only_list(columns);
    match taken {
        Ok(Some(guess)) => guesses.push(guess),
        Ok(None) => {}
        Err(error) => {
            let (line, _) = window.place(0);
            return Err(Error::input(&path, format!("line {line}: {error}")).into());
        }
    }
    Ok(Opened {
        items: Box::new(Objects {
            path,
            columns: columns.clone(),
            window,
            array: None,
        }),
        guesses,
    })
}

/// Whether a file begins with an object, or an array of them.
fn is_likely(beginning: &[u8]) -> bool {
    let beginning = beginning.trim_ascii_start();
    let object = match beginning {
        [b'[', rest @ ..] => rest.trim_ascii_start(),
        object => object,
    };
    if !object.starts_with(b"{") {
        return false;
    }
    match value_end(object, 0, false) {
        Ok(end) => !members(&object[..end]).is_empty(),
        // An object longer than the beginning has a key, at least.
        Err(Broken::TooShort) => object[1..].trim_ascii_start().starts_with(b"\""),
        Err(Broken::At(..)) => false,
    }
}

/// The objects of a file.
struct Objects {
    path: PathBuf,
    columns: Columns,
    window: Window,
    array: Option<Array>,
}

/// The array whose elements are being read.
#[derive(Clone, Copy)]
struct Array {
    /// The line that it begins in.
    line: u64,
    /// Whether an element was read.
    any: bool,
}

impl Iterator for Objects {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match self.next_item() {
            Ok(item) => item,
            Err(error) => {
                let (line, _) = self.window.place(0);
                let problem = format!("line {line}: {error}");
                Some(Err(Fault::File(Error::input(&self.path, problem))))
            }
        }
    }
}

impl Objects {
    fn next_item(&mut self) -> io::Result<Option<Item>> {
        loop {
            let Some(byte) = self.window.next_byte()? else {
                return Ok(self.array.map(|array| Err(self.unfinished(array))));
            };
            match &mut self.array {
                None if byte == b'[' => {
                    let (line, _) = self.window.place(0);
                    self.window.advance(1);
                    self.array = Some(Array { line, any: false });
                }
                None => return self.object_alone().map(Some),
                Some(array) if byte == b']' && !array.any => {
                    self.window.advance(1);
                    self.array = None;
                }
                Some(array) => {
                    let (first, line) = (!array.any, array.line);
                    array.any = true;
                    if let Some(item) = self.element(first, line, byte)? {
                        return Ok(Some(item));
                    }
                }
            }
        }
    }

    /// The next element of an array; none at its end. What is wrong with an array is wrong with the file: where its next element
    /// begins cannot be said.
    fn element(&mut self, first: bool, line: u64, byte: u8) -> io::Result<Option<Item>> {
        if !first {
            match byte {
                b']' => {
                    self.window.advance(1);
                    self.array = None;
                    return Ok(None);
                }
                b',' => self.window.advance(1),
                _ => {
                    return Ok(Some(Err(
                        self.broken(0, "a comma or the end of the array is missing")
                    )));
                }
            }
            if self.window.next_byte()?.is_none() {
                return Ok(Some(Err(self.unfinished(Array { line, any: true }))));
            }
        }
        match self.window.value()? {
            Ok(length) => Ok(Some(self.document(length))),
            Err(Broken::TooShort) => Ok(Some(Err(self.unfinished(Array { line, any: true })))),
            Err(Broken::At(offset, problem)) => Ok(Some(Err(self.broken(offset, problem)))),
        }
    }

    /// An object outside an array. What is wrong with it costs its line.
    fn object_alone(&mut self) -> io::Result<Item> {
        let (offset, problem) = match self.window.value()? {
            Ok(length) => return Ok(self.document(length)),
            Err(Broken::At(offset, problem)) => (offset, problem),
            Err(Broken::TooShort) => (self.window.line_length(), "it ends within a value"),
        };
        let (line, _) = self.window.place(0);
        let flaw = Flaw::new(
            FlawKind::Malformed,
            format!(
                "{}expected one JSON object a line or an array of them: {problem}",
                self.window.within(line, offset)
            ),
        );
        let length = self.window.line_length();
        self.window.advance(length);
        Ok(Err(Fault::Document(Position::Line(line), flaw)))
    }

    /// The document in the value of this length that comes next.
    fn document(&mut self, length: usize) -> Item {
        let (line, _) = self.window.place(0);
        let position = Position::Line(line);
        let bytes = &self.window.bytes()[..length];
        let item = if bytes.starts_with(b"{") {
            within_limit(members(bytes)).and_then(|members| {
                let row = Object {
                    bytes,
                    members,
                    window: &self.window,
                    line,
                };
                self.columns.document(position, &row)
            })
        } else {
            let found = description(bytes);
            Err(Flaw::new(
                FlawKind::Malformed,
                format!("expected one JSON object a line or an array of them, found {found}"),
            ))
        };
        self.window.advance(length);
        item.map_err(|flaw| Fault::of_document(&self.path, position, flaw))
    }

    fn broken(&self, offset: usize, problem: &str) -> Fault {
        let (line, byte) = self.window.place(offset);
        Fault::File(Error::input(
            &self.path,
            format!("line {line}: byte {byte}: expected an array of JSON objects: {problem}"),
        ))
    }

    fn unfinished(&self, array: Array) -> Fault {
        Fault::File(Error::input(
            &self.path,
            format!(
                "expected the array that begins in line {} to end, found the end of the file: it is cut short",
                array.line
            ),
        ))
    }
}

/// The part of a file that is being looked at.
struct Window {
    reader: Box<dyn BufRead>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are done with.
    start: usize,
    /// Line of the next byte, and how many bytes of that line are done with.
    line: u64,
    column: usize,
    ended: bool,
    /// Most bytes of one value.
    max_bytes: usize,
}

impl Window {
    fn new(reader: Box<dyn BufRead>, max_bytes: usize) -> Self {
        Self {
            reader,
            max_bytes,
            buffer: Vec::new(),
            start: 0,
            line: 1,
            column: 0,
            ended: false,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads on: to the end of a line, and at least as much again as there is already, so that a value of many lines is not looked
    /// at once for each of them. False at the end of the file; an error for a value that is too long.
    fn more(&mut self) -> io::Result<bool> {
        if self.start > CHUNK && self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let pending = self.bytes().len();
        if pending > self.max_bytes {
            return Err(io::Error::other(too_long(self.max_bytes)));
        }
        let mut added = 0;
        while added <= pending && pending + added <= self.max_bytes {
            let room = self.max_bytes.saturating_add(1) - pending - added;
            let limit = pending.max(CHUNK).min(room);
            let count = self
                .reader
                .by_ref()
                .take(limit as u64)
                .read_until(b'\n', &mut self.buffer)?;
            added += count;
            if count == 0 {
                self.ended = true;
                break;
            }
        }
        Ok(added > 0)
    }

    /// The next byte that is no white space; none at the end of the file.
    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            let bytes = self.bytes();
            match bytes.iter().position(|byte| !is_blank(*byte)) {
                Some(blanks) => {
                    let byte = bytes[blanks];
                    self.advance(blanks);
                    return Ok(Some(byte));
                }
                None => {
                    self.advance(bytes.len());
                    if !self.more()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The length of the value that begins with the next byte, reading on as far as it goes.
    fn value(&mut self) -> io::Result<Result<usize, Broken>> {
        loop {
            match value_end(self.bytes(), 0, self.ended) {
                Err(Broken::TooShort) if !self.ended => _ = self.more()?,
                result => return Ok(result),
            }
        }
    }

    /// Goes into the one list of objects that the file's only value, an object, holds, where the object itself has not the columns of a
    /// document and the objects in the list have: `{"data": [...]}`. Such a file is held in memory as a whole.
    fn enter_only_list(&mut self, columns: &Columns) -> io::Result<Option<Guess>> {
        if self.next_byte()? != Some(b'{') {
            return Ok(None);
        }
        let Ok(length) = self.value()? else {
            return Ok(None);
        };
        // Whatever follows it, it is not the only value.
        while self.bytes()[length..].iter().all(|&byte| is_blank(byte)) {
            // So much white space is left to whoever reads one value after another.
            if self.bytes().len() > self.max_bytes {
                return Ok(None);
            }
            if !self.more()? {
                return Ok(self.only_list(length, columns));
            }
        }
        Ok(None)
    }

    fn only_list(&mut self, length: usize, columns: &Columns) -> Option<Guess> {
        let bytes = &self.bytes()[..length];
        let fits = |object: &[u8]| {
            let members = members(object);
            let has = |name: &str| {
                members
                    .iter()
                    .any(|member| &object[member.key.clone()] == name.as_bytes())
            };
            columns.names(has, &[]).is_ok()
        };
        if fits(bytes) {
            return None;
        }
        let lists = members(bytes).into_iter().filter(|member| {
            let list = &bytes[member.value.clone()];
            let is_of_objects = list.starts_with(b"[") && list[1..].trim_ascii_start().starts_with(b"{");
            is_of_objects
                && elements(list)
                    .first()
                    .is_some_and(|first| fits(&list[first.clone()]))
        });
        let lists: Vec<Member> = lists.collect();
        let [list] = &lists[..] else { return None };
        let name = String::from_utf8_lossy(&bytes[list.key.clone()]).into_owned();
        let (start, end) = (list.value.start, list.value.end);
        self.advance(start);
        self.buffer.truncate(self.start + (end - start));
        self.reader = Box::new(io::empty());
        self.ended = true;
        Some(Guess::new(
            "documents",
            format!("the list `{name}` of the one object that the file holds"),
        ))
    }

    /// Bytes to the end of the line, that included.
    fn line_length(&self) -> usize {
        let bytes = self.bytes();
        let end = bytes.iter().position(|&byte| byte == b'\n');
        end.map_or(bytes.len(), |end| end + 1)
    }

    fn advance(&mut self, length: usize) {
        let (line, byte) = self.place(length);
        (self.line, self.column) = (line, byte - 1);
        self.start += length;
    }

    /// Line and byte in it, both counted from 1, of the byte at an offset from the next one.
    fn place(&self, offset: usize) -> (u64, usize) {
        let before = &self.bytes()[..offset];
        let mut line_ends = (0..)
            .zip(before)
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at);
        match line_ends.next() {
            None => (self.line, self.column + offset + 1),
            Some(first) => {
                let (lines, last) = line_ends.fold((1, first), |(lines, _), at| (lines + 1, at));
                (self.line + lines, offset - last)
            }
        }
    }

    /// A place as the beginning of a message about what begins in a line.
    fn within(&self, begin: u64, offset: usize) -> String {
        let (line, byte) = self.place(offset);
        if line == begin {
            format!("byte {byte}: ")
        } else {
            format!("line {line}, byte {byte}: ")
        }
    }
}

/// An object of a file.
struct Object<'a> {
    bytes: &'a [u8],
    members: Vec<Member>,
    window: &'a Window,
    line: u64,
}

/// Where key and value of an object's member are: the key without its quotes.
struct Member {
    key: Range<usize>,
    value: Range<usize>,
}

impl Object<'_> {
    fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| {
            let key = &self.bytes[member.key.clone()];
            key == name.as_bytes()
                || (key.contains(&b'\\') && matches!(unescape(key), Ok((key, _)) if key == name))
        })
    }

    fn names(&self) -> Vec<Cow<'_, str>> {
        let name = |member: &Member| match unescape(&self.bytes[member.key.clone()]) {
            Ok((name, _)) => name,
            Err(_) => String::from_utf8_lossy(&self.bytes[member.key.clone()]),
        };
        self.members.iter().map(name).collect()
    }
}

impl Row for Object<'_> {
    fn value(&self, name: &str) -> Result<Value<'_>, Flaw> {
        let Some(member) = self.member(name) else {
            return Err(missing(name, self.names().iter().map(AsRef::as_ref)));
        };
        let value = &self.bytes[member.value.clone()];
        match value {
            b"null" | b"NaN" => Err(no_value(name)),
            [b'"', text @ .., b'"'] => match unescape(text) {
                Ok((text, replaced)) => Ok(Value::Text { text, replaced }),
                Err(at) => {
                    let offset = member.value.start + 1 + at;
                    Err(not_utf8(self.bytes[offset]).at(self.window.within(self.line, offset)))
                }
            },
            [b'-' | b'0'..=b'9', ..] => {
                let literal = String::from_utf8_lossy(value);
                let key = match literal.parse::<f64>() {
                    Ok(number) if literal.contains(['.', 'e', 'E']) => number_key(number),
                    _ => literal.into_owned(),
                };
                Ok(Value::Key { key, is: "a number" })
            }
            other => Err(wrong_type(name, "a string", description(other))),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.member(name).is_some()
    }

    fn nested(&self, name: &str) -> Result<(Json, bool), Flaw> {
        let Some(member) = self.member(name) else {
            return Err(missing(name, self.names().iter().map(AsRef::as_ref)));
        };
        parse(&self.bytes[member.value.clone()]).map_err(|flaw| flaw.at(format_args!("column {name}: ")))
    }

    fn names(&self) -> Vec<String> {
        self.names().into_iter().map(Cow::into_owned).collect()
    }
}

/// Levels of lists and objects within each other that are read.
const MAX_DEPTH: usize = 32;

/// Values of one object or list, and in all of a column, that are read: each takes more memory than its shortest text.
const MAX_VALUES: usize = 4_000_000;

/// The places in an object or a list, unless there are more than are read.
fn within_limit<T>(places: Vec<T>) -> Result<Vec<T>, Flaw> {
    if places.len() > MAX_VALUES {
        return Err(too_many_values());
    }
    Ok(places)
}

fn too_many_values() -> Flaw {
    let problem = format!("expected at most {MAX_VALUES} values in an object or a list, found more");
    Flaw::new(FlawKind::Malformed, problem)
}

/// A value with all that it holds, and whether half a surrogate pair in it became U+FFFD. NaN and Infinity are null.
pub(crate) fn parse(value: &[u8]) -> Result<(Json, bool), Flaw> {
    let end = value_end(value, 0, true).map_err(|_| Flaw::new(FlawKind::Malformed, "expected JSON"))?;
    let mut parsing = Parsing::default();
    let parsed = parsing.value(&value[..end], MAX_DEPTH)?;
    Ok((parsed, parsing.replaced))
}

/// What is known of the values so far.
#[derive(Default)]
struct Parsing {
    replaced: bool,
    values: usize,
}

impl Parsing {
    /// The value that these bytes are, which were scanned before.
    fn value(&mut self, value: &[u8], depth: usize) -> Result<Json, Flaw> {
        let Some(depth) = depth.checked_sub(1) else {
            let problem =
                format!("expected at most {MAX_DEPTH} lists or objects within each other, found more");
            return Err(Flaw::new(FlawKind::Malformed, problem));
        };
        Ok(match value {
            [b'{', ..] => {
                let mut object = serde_json::Map::new();
                for member in self.counted(members(value))? {
                    let key = string(&value[member.key], &mut self.replaced)?;
                    object.insert(key, self.value(&value[member.value], depth)?);
                }
                Json::Object(object)
            }
            [b'[', ..] => {
                let elements = self.counted(elements(value))?.into_iter();
                let elements = elements.map(|span| self.value(&value[span], depth));
                Json::Array(elements.collect::<Result<_, _>>()?)
            }
            [b'"', text @ .., b'"'] => Json::String(string(text, &mut self.replaced)?),
            b"true" => Json::Bool(true),
            b"false" => Json::Bool(false),
            number => serde_json::from_slice(number).unwrap_or(Json::Null),
        })
    }

    /// Places of values, unless there are too many of them with those before.
    fn counted<T>(&mut self, places: Vec<T>) -> Result<Vec<T>, Flaw> {
        self.values += places.len();
        if self.values > MAX_VALUES {
            return Err(too_many_values());
        }
        Ok(places)
    }
}

/// A string without its quotes as text.
fn string(text: &[u8], replaced: &mut bool) -> Result<String, Flaw> {
    let (text, in_this) = unescape(text).map_err(|at| not_utf8(text[at]))?;
    *replaced |= in_this;
    Ok(text.into_owned())
}

/// Where the elements of an array are that was scanned before: all, or one more than are read.
fn elements(array: &[u8]) -> Vec<Range<usize>> {
    let mut elements = Vec::new();
    let mut at = 1;
    loop {
        while array.get(at).is_some_and(|&byte| is_blank(byte) || byte == b',') {
            at += 1;
        }
        if array.get(at).is_none_or(|&byte| byte == b']') {
            return elements;
        }
        let Ok(end) = value_end(array, at, true) else {
            return elements;
        };
        elements.push(at..end);
        if elements.len() > MAX_VALUES {
            return elements;
        }
        at = end;
    }
}

/// What a value is, in words.
fn description(value: &[u8]) -> &'static str {
    match value.first() {
        Some(b'{') => "an object",
        Some(b'[') if is_chat(value) => CHAT,
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Whether an array holds the turns of a conversation.
fn is_chat(array: &[u8]) -> bool {
    let first = array[1..].trim_ascii_start();
    let Ok(end) = value_end(first, 0, true) else {
        return false;
    };
    let first = &first[..end];
    first.starts_with(b"{")
        && members(first).iter().any(|member| {
            let key = &first[member.key.clone()];
            key == b"role" || key == b"from"
        })
}

/// What is wrong with a value.
enum Broken {
    /// The bytes end before it does.
    TooShort,
    /// At a byte, and what was expected there.
    At(usize, &'static str),
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Where the value ends that begins at `start`. `is_all`: no more bytes follow those given.
fn value_end(bytes: &[u8], start: usize, is_all: bool) -> Result<usize, Broken> {
    /// What may come next.
    #[derive(Clone, Copy, PartialEq)]
    enum Next {
        Value,
        /// A value, or the end of an array that has begun.
        ValueOrEnd,
        Key,
        /// A key, or the end of an object that has begun.
        KeyOrEnd,
        Colon,
        CommaOrEnd,
    }
    // Of each array and object around the place: whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    let mut next = Next::Value;
    let mut at = start;
    loop {
        let byte = match bytes.get(at) {
            None => return Err(Broken::TooShort),
            Some(&byte) if is_blank(byte) => {
                at += 1;
                continue;
            }
            Some(&byte) => byte,
        };
        let is_end = matches!(next, Next::ValueOrEnd | Next::KeyOrEnd | Next::CommaOrEnd)
            && match open.last() {
                Some(true) => byte == b'}',
                Some(false) => byte == b']',
                None => false,
            };
        if is_end {
            open.pop();
            at += 1;
            next = Next::CommaOrEnd;
        } else {
            match next {
                Next::Value | Next::ValueOrEnd => match byte {
                    b'{' | b'[' => {
                        open.push(byte == b'{');
                        next = if byte == b'{' {
                            Next::KeyOrEnd
                        } else {
                            Next::ValueOrEnd
                        };
                        at += 1;
                        continue;
                    }
                    b'"' => {
                        at = string_end(bytes, at)?;
                        next = Next::CommaOrEnd;
                    }
                    _ => {
                        at = literal_end(bytes, at, is_all)?;
                        next = Next::CommaOrEnd;
                    }
                },
                Next::Key | Next::KeyOrEnd => {
                    if byte != b'"' {
                        return Err(Broken::At(at, "a key in quotes is missing"));
                    }
                    at = string_end(bytes, at)?;
                    next = Next::Colon;
                }
                Next::Colon => {
                    if byte != b':' {
                        return Err(Broken::At(at, "a colon behind the key is missing"));
                    }
                    at += 1;
                    next = Next::Value;
                }
                Next::CommaOrEnd => {
                    if byte != b',' {
                        return Err(Broken::At(at, "a comma or a closing bracket is missing"));
                    }
                    at += 1;
                    next = if open.last() == Some(&true) {
                        Next::Key
                    } else {
                        Next::Value
                    };
                }
            }
        }
        if open.is_empty() {
            return Ok(at);
        }
    }
}

/// Where the string ends whose opening quote is at `start`.
fn string_end(bytes: &[u8], start: usize) -> Result<usize, Broken> {
    let mut at = start + 1;
    loop {
        match bytes.get(at) {
            None => return Err(Broken::TooShort),
            Some(b'"') => return Ok(at + 1),
            Some(b'\n') => return Err(Broken::At(at, "the line ends within a string")),
            Some(b'\\') => match bytes.get(at + 1) {
                None => return Err(Broken::TooShort),
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => at += 2,
                Some(b'u') => {
                    let digits = bytes.get(at + 2..at + 6).ok_or(Broken::TooShort)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(Broken::At(at, "four hexadecimal digits behind \\u are missing"));
                    }
                    at += 6;
                }
                Some(_) => return Err(Broken::At(at, "there is no such escape")),
            },
            Some(_) => at += 1,
        }
    }
}

/// Where the number or word ends that begins at `start`.
fn literal_end(bytes: &[u8], start: usize, is_all: bool) -> Result<usize, Broken> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let length = bytes[start..].iter().take_while(|byte| is_part(byte)).count();
    let end = start + length;
    if end == bytes.len() && !is_all {
        return Err(Broken::TooShort);
    }
    match &bytes[start..end] {
        b"null" | b"true" | b"false" | b"NaN" | b"Infinity" | b"-Infinity" => Ok(end),
        number if is_number(number) => Ok(end),
        _ => Err(Broken::At(start, "a value is missing")),
    }
}

fn is_number(literal: &[u8]) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = literal.strip_prefix(b"-").unwrap_or(literal);
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent
            .strip_prefix(b"+")
            .or(exponent.strip_prefix(b"-"))
            .unwrap_or(exponent);
        return !exponent.is_empty() && digits(exponent) == exponent.len();
    }
    rest.is_empty()
}

/// The members of an object that was scanned before: all, or one more than are read.
fn members(object: &[u8]) -> Vec<Member> {
    let mut members = Vec::new();
    let mut at = 1;
    let skip = |mut at: usize| {
        while object
            .get(at)
            .is_some_and(|&byte| is_blank(byte) || byte == b',' || byte == b':')
        {
            at += 1;
        }
        at
    };
    loop {
        at = skip(at);
        let key_end = match object.get(at) {
            Some(b'"') => string_end(object, at),
            _ => return members,
        };
        let Ok(key_end) = key_end else { return members };
        let start = skip(key_end);
        let Ok(end) = value_end(object, start, true) else {
            return members;
        };
        members.push(Member {
            key: at + 1..key_end - 1,
            value: start..end,
        });
        if members.len() > MAX_VALUES {
            return members;
        }
        at = end;
    }
}

/// The text of a string without its quotes, and whether half a surrogate pair became U+FFFD; or the byte that is no UTF-8.
fn unescape(string: &[u8]) -> Result<(Cow<'_, str>, bool), usize> {
    let text = std::str::from_utf8(string).map_err(|error| error.valid_up_to())?;
    if !text.contains('\\') {
        return Ok((Cow::Borrowed(text), false));
    }
    let mut result = String::with_capacity(text.len());
    let mut replaced = false;
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        result.push_str(&rest[..place]);
        let escape = rest.as_bytes().get(place + 1).copied().unwrap_or(b'\\');
        rest = rest.get(place + 2..).unwrap_or_default();
        match escape {
            b'b' => result.push('\u{8}'),
            b'f' => result.push('\u{c}'),
            b'n' => result.push('\n'),
            b'r' => result.push('\r'),
            b't' => result.push('\t'),
            b'u' => {
                let mut unit = hexadecimal(rest);
                rest = rest.get(4..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&unit)
                    && let Some(second) = rest.strip_prefix("\\u").map(hexadecimal)
                    && (0xdc00..0xe000).contains(&second)
                {
                    unit = 0x1_0000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
                    rest = rest.get(6..).unwrap_or_default();
                }
                replaced |= char::from_u32(unit).is_none();
                result.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            other => result.push(char::from(other)),
        }
    }
    result.push_str(rest);
    Ok((Cow::Owned(result), replaced))
}

/// The value of the four hexadecimal digits that a text begins with.
fn hexadecimal(text: &str) -> u32 {
    text.get(..4)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .unwrap_or(0xfffd)
}
