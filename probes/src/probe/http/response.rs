//! Reads HTTP/1.1 responses, however they are cut: by length, in chunks, or until the connection ends.

use std::mem::MaybeUninit;

use tollgate_results::outcome::Failure;

use super::tally::{Backend, Tally};

/// Longest head of a response, and most that trailers may take, in bytes.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// Most header lines of a response.
const MAX_HEADERS: usize = 100;

/// Longest line that says the size of a chunk, in bytes.
const MAX_CHUNK_LINE: u32 = 256;

/// A response that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Length of its body, in bytes.
    pub(crate) body: u64,
    /// Whether the server keeps the connection.
    pub(crate) stays: bool,
    /// Who answered, if it says so.
    pub(crate) backend: Option<Backend>,
}

/// Takes in one response after the other. Allocates nothing once it stands.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The length that a 200 must have.
    expected: Option<u64>,
    /// Holds the beginning of a head that came in pieces.
    head: Vec<u8>,
    state: State,
    response: Response,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// So much of the body is missing.
    Length(u64),
    UntilEnd,
    /// In the line that says the size of a chunk, of which so much was read.
    ChunkLine(ChunkLine),
    /// So much of the chunk is missing.
    Chunk(u64),
    /// Before the line end that follows a chunk; whether its CR is there.
    ChunkEnd(bool),
    /// After the last chunk: bytes of all trailers, and of the present line.
    Trailers(u32, u32),
}

/// What was read of the line that says the size of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ChunkLine {
    size: u64,
    read: u32,
    digits: u32,
    /// Whether the digits are over.
    after: bool,
}

/// How long the body of a response is.
#[derive(Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    UntilEnd,
}

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    len: usize,
    status: u16,
    body: Body,
    stays: bool,
    backend: Option<Backend>,
}

impl Reader {
    /// Prepares to read responses, of which those with status 200 must have the expected length, where there is one.
    pub(crate) fn new(expected: Option<u64>) -> Self {
        Self {
            expected,
            head: Vec::with_capacity(MAX_HEAD),
            state: State::Head,
            response: Response {
                status: 0,
                body: 0,
                stays: false,
                backend: None,
            },
        }
    }

    /// Forgets an unfinished response.
    pub(crate) fn reset(&mut self) {
        self.head.clear();
        self.state = State::Head;
    }

    /// Takes in what was received, at least one byte; returns how much of it belongs to the response, and the response
    /// if that is whole now.
    #[inline]
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        tally: &Tally,
    ) -> Result<(usize, Option<Response>), Failure> {
        let mut taken = 0;
        while taken < bytes.len() {
            let (more, whole) = self.step(&bytes[taken..], tally)?;
            taken += more;
            if whole {
                self.state = State::Head;
                return Ok((taken, Some(self.response)));
            }
        }
        Ok((taken, None))
    }

    /// Takes in the end of the connection, which is the end of some responses.
    pub(crate) fn end(&mut self) -> Result<Response, Failure> {
        let whole = self.state == State::UntilEnd && self.is_expected();
        self.state = State::Head;
        if whole {
            Ok(self.response)
        } else {
            Err(Failure::Reset)
        }
    }

    /// Takes in bytes up to the next change of state; returns whether the response is whole.
    #[inline]
    fn step(&mut self, bytes: &[u8], tally: &Tally) -> Result<(usize, bool), Failure> {
        match self.state {
            State::Head => self.begin(bytes, tally),
            State::Length(missing) => {
                let (taken, missing) = self.body(bytes, missing)?;
                self.state = State::Length(missing);
                Ok((taken, missing == 0))
            }
            State::UntilEnd => self.body(bytes, u64::MAX).map(|(taken, _)| (taken, false)),
            State::Chunk(missing) => {
                let (taken, missing) = self.body(bytes, missing)?;
                self.state = if missing == 0 {
                    State::ChunkEnd(false)
                } else {
                    State::Chunk(missing)
                };
                Ok((taken, false))
            }
            _ => self.between(bytes[0]).map(|whole| (1, whole)),
        }
    }

    /// Takes in a head, or a part of it.
    #[inline]
    fn begin(&mut self, bytes: &[u8], tally: &Tally) -> Result<(usize, bool), Failure> {
        let before = self.head.len();
        let found = if before == 0 {
            // The common case: the whole head at once, without a copy.
            let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
            parse(bytes, tally)?
        } else {
            let room = bytes.len().min(MAX_HEAD - before);
            self.head.extend_from_slice(&bytes[..room]);
            parse(&self.head, tally)?
        };
        let Some(head) = found else {
            if before == 0 {
                let room = bytes.len().min(MAX_HEAD);
                self.head.extend_from_slice(&bytes[..room]);
            }
            return if self.head.len() < MAX_HEAD {
                Ok((bytes.len(), false))
            } else {
                Err(Failure::Malformed)
            };
        };
        self.head.clear();
        let taken = head.len - before;
        if head.status < 200 {
            // An interim response; the final one follows.
            return Ok((taken, false));
        }
        self.response = Response {
            status: head.status,
            body: 0,
            stays: head.stays,
            backend: head.backend,
        };
        self.state = match head.body {
            Body::Length(length) => {
                if head.status == 200 && self.expected.is_some_and(|expected| expected != length) {
                    return Err(Failure::Malformed);
                }
                State::Length(length)
            }
            Body::Chunked => State::ChunkLine(ChunkLine::default()),
            Body::UntilEnd => State::UntilEnd,
        };
        Ok((taken, self.state == State::Length(0)))
    }

    /// Takes in bytes of the body, of which so many are missing; returns what then is missing.
    #[inline]
    fn body(&mut self, bytes: &[u8], missing: u64) -> Result<(usize, u64), Failure> {
        let len = bytes.len() as u64;
        let taken = len.min(missing);
        self.response.body += taken;
        let most = self.expected.filter(|_| self.response.status == 200);
        if most.is_some_and(|most| self.response.body > most) {
            return Err(Failure::Malformed);
        }
        // `taken` is at most the length of a slice.
        Ok((
            usize::try_from(taken).unwrap_or(bytes.len()),
            missing - taken,
        ))
    }

    /// Takes in a byte of what stands around chunks; returns whether the response is whole.
    fn between(&mut self, byte: u8) -> Result<bool, Failure> {
        match self.state {
            State::ChunkLine(line) => self.chunk_line(line, byte),
            State::ChunkEnd(cr) => {
                match (cr, byte) {
                    (false, b'\r') => self.state = State::ChunkEnd(true),
                    (_, b'\n') => self.state = State::ChunkLine(ChunkLine::default()),
                    _ => return Err(Failure::Malformed),
                }
                Ok(false)
            }
            State::Trailers(all, of_line) => {
                if all as usize >= MAX_HEAD {
                    return Err(Failure::Malformed);
                }
                let of_line = match byte {
                    b'\n' if of_line == 0 => {
                        return if self.is_expected() {
                            Ok(true)
                        } else {
                            Err(Failure::Malformed)
                        };
                    }
                    b'\n' => 0,
                    b'\r' => of_line,
                    _ => of_line + 1,
                };
                self.state = State::Trailers(all + 1, of_line);
                Ok(false)
            }
            _ => Err(Failure::Malformed),
        }
    }

    fn chunk_line(&mut self, mut line: ChunkLine, byte: u8) -> Result<bool, Failure> {
        line.read += 1;
        let digit = char::from(byte).to_digit(16).filter(|_| !line.after);
        match digit {
            Some(digit) if line.digits < 16 => {
                line.digits += 1;
                line.size = line.size << 4 | u64::from(digit);
            }
            _ if line.digits == 0 || digit.is_some() || line.read > MAX_CHUNK_LINE => {
                return Err(Failure::Malformed);
            }
            _ if byte == b'\n' => {
                self.state = match line.size {
                    0 => State::Trailers(0, 0),
                    size => State::Chunk(size),
                };
                return Ok(false);
            }
            // The size ends here: by its line end, or by an extension, which means nothing to us.
            _ if line.after || matches!(byte, b'\r' | b';' | b' ' | b'\t') => line.after = true,
            _ => return Err(Failure::Malformed),
        }
        self.state = State::ChunkLine(line);
        Ok(false)
    }

    /// Returns whether the body has the length that it must have.
    fn is_expected(&self) -> bool {
        let expected = self.expected.filter(|_| self.response.status == 200);
        expected.is_none_or(|expected| expected == self.response.body)
    }
}

/// Reads the head of a response; `None` while it is incomplete.
fn parse(bytes: &[u8], tally: &Tally) -> Result<Option<Head>, Failure> {
    let mut headers = [MaybeUninit::uninit(); MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let parsed = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let len = match parsed {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Malformed),
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head {
        len,
        status,
        body: Body::UntilEnd,
        stays: response.version == Some(1),
        backend: None,
    };
    let (mut length, mut coded) = (None, false);
    for header in response.headers.iter() {
        let (name, value) = (header.name, header.value);
        if name.eq_ignore_ascii_case("content-length") {
            if length.replace(decimal(value)?).is_some() {
                return Err(Failure::Malformed);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            coded = true;
            let last = value.rsplit(|&byte| byte == b',').next().unwrap_or(value);
            if last.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                head.body = Body::Chunked;
            }
        } else if name.eq_ignore_ascii_case("connection") {
            for token in value.split(|&byte| byte == b',') {
                match token.trim_ascii() {
                    token if token.eq_ignore_ascii_case(b"close") => head.stays = false,
                    token if token.eq_ignore_ascii_case(b"keep-alive") => {
                        head.stays |= response.version == Some(0);
                    }
                    _ => {}
                }
            }
        } else if name.eq_ignore_ascii_case(super::BACKEND) {
            head.backend = Some(tally.backend(value));
        }
    }
    head.body = match (status, length) {
        // Nobody asked to change the protocol; and below 100 there is no status.
        (0..100 | 101, _) => return Err(Failure::Malformed),
        (102..200 | 100 | 204 | 304, _) => Body::Length(0),
        // Two lengths are an attack, or a fault.
        (_, Some(_)) if coded => return Err(Failure::Malformed),
        (_, Some(length)) => Body::Length(length),
        (_, None) => head.body,
    };
    head.stays &= head.body != Body::UntilEnd;
    Ok(Some(head))
}

/// Reads digits and nothing else.
fn decimal(value: &[u8]) -> Result<u64, Failure> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    let number = text.and_then(|text| text.parse().ok());
    number.ok_or(Failure::Malformed)
}

/// Reads responses that come in pieces, for the fuzz targets: however they are cut, they are the same. The first bytes
/// say how long the pieces and the body are.
#[cfg(any(test, fuzzing))]
pub(crate) fn cut_anyhow(bytes: &[u8]) {
    let said = |expected, stream: &[u8], cut| {
        let tally = Tally::default();
        let (mut reader, mut responses) = (Reader::new(expected), Vec::new());
        for mut piece in stream.chunks(cut) {
            while !piece.is_empty() {
                match reader.read(piece, &tally) {
                    Ok((taken, response)) => {
                        responses.extend(response);
                        piece = &piece[taken..];
                    }
                    Err(failure) => return (responses, Err(failure)),
                }
            }
        }
        (responses, reader.end())
    };
    if let Some((&[cut, expected], stream)) = bytes.split_first_chunk::<2>() {
        let expected = u64::from(expected).checked_sub(1);
        let whole = said(expected, stream, stream.len().max(1));
        assert_eq!(whole, said(expected, stream, usize::from(cut) + 1));
    }
}

#[cfg(test)]
mod tests;
