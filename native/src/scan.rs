//! A reader of JSON text that gives up early. What it accepts is JSON as the reference accepts it; what it does not
//! accept may still be, so nobody draws a conclusion from it.

/// Not sure: the line is left to the reference, which knows the reason.
#[derive(Debug)]
pub struct Unsure;

pub type Sure<T> = Result<T, Unsure>;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// A place in a chunk of lines. It never passes the end of its line: no token holds a newline, and blanks are only
/// those that are no newline.
pub struct Cursor<'a> {
    pub text: &'a [u8],
    pub at: usize,
}

/// The text between two quotes, as it was written.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
}

impl<'a> Cursor<'a> {
    /// The byte here; 0 at the end, which no token begins with.
    #[inline(always)]
    pub fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    #[inline(always)]
    pub fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    #[inline(always)]
    pub fn take(&mut self, byte: u8) -> Sure<()> {
        if self.peek() != byte {
            return Err(Unsure);
        }
        self.at += 1;
        Ok(())
    }

    /// Whether the text goes on with `word`, which is then passed.
    #[inline(always)]
    pub fn passes(&mut self, word: &[u8]) -> bool {
        let there = self.text.get(self.at..self.at + word.len()) == Some(word);
        if there {
            self.at += word.len();
        }
        there
    }

    /// After a member or element: true when another follows (the cursor is before it), false after `close`.
    #[inline(always)]
    pub fn another(&mut self, close: u8) -> Sure<bool> {
        self.skip_blanks();
        let byte = self.peek();
        self.at += 1;
        if byte == b',' {
            self.skip_blanks();
            return Ok(true);
        }
        if byte == close { Ok(false) } else { Err(Unsure) }
    }

    /// After an opening bracket: false when it is closed at once.
    #[inline(always)]
    pub fn any(&mut self, close: u8) -> bool {
        self.skip_blanks();
        if self.peek() == close {
            self.at += 1;
            return false;
        }
        true
    }

    #[inline(always)]
    pub fn colon(&mut self) -> Sure<()> {
        self.skip_blanks();
        self.take(b':')?;
        self.skip_blanks();
        Ok(())
    }

    /// A string, quotes and all. Its bytes are UTF-8; its escapes are not looked at yet.
    #[inline(always)]
    pub fn string(&mut self) -> Sure<Text<'a>> {
        self.take(b'"')?;
        let start = self.at;
        self.pass_plain();
        if self.peek() == b'"' {
            let raw = &self.text[start..self.at];
            self.at += 1;
            return Ok(Text { raw, escaped: false });
        }
        self.odd_string(start)
    }

    /// The rest of a string that holds more than plain ASCII.
    #[cold]
    fn odd_string(&mut self, start: usize) -> Sure<Text<'a>> {
        let (mut escaped, mut wide) = (false, false);
        loop {
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    if self.peek() < 0x20 {
                        return Err(Unsure); // not even the line's end is passed
                    }
                    self.at += 1;
                }
                0x80.. => {
                    wide = true;
                    self.at += 1;
                }
                0x20.. => self.at += 1,
                _ => return Err(Unsure), // a control character, or the end
            }
            if self.peek() < 0x80 {
                self.pass_plain();
            }
        }
        let raw = &self.text[start..self.at];
        self.at += 1;
        if wide && std::str::from_utf8(raw).is_err() {
            return Err(Unsure);
        }
        Ok(Text { raw, escaped })
    }

    /// Pass what stands for itself: up to a quote, backslash, control character, byte beyond ASCII, or the end.
    #[inline(always)]
    fn pass_plain(&mut self) {
        while let Some(eight) = self.text.get(self.at..self.at + 8) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(eight);
            let word = u64::from_le_bytes(bytes);
            // A borrow can mark a byte above a marked one only, so the lowest mark is always right.
            let quote = word ^ (ONES * b'"' as u64);
            let slash = word ^ (ONES * b'\\' as u64);
            let marks = (quote.wrapping_sub(ONES) & !quote)
                | (slash.wrapping_sub(ONES) & !slash)
                | (word.wrapping_sub(ONES * 0x20) & !word)
                | word;
            let marks = marks & TOPS;
            if marks != 0 {
                self.at += marks.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while !matches!(self.peek(), 0..0x20 | b'"' | b'\\' | 0x80..) {
            self.at += 1;
        }
    }
}

/// Append what a text with escapes stands for.
pub fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Sure<()> {
    let mut rest = raw;
    while let Some(slash) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..slash]);
        let kind = *rest.get(slash + 1).ok_or(Unsure)?;
        rest = &rest[slash + 2..];
        match kind {
            b'"' | b'\\' | b'/' => out.push(kind),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex4(rest)?;
                rest = &rest[4..];
                if (0xD800..0xDC00).contains(&code) {
                    let low = rest.strip_prefix(b"\\u").ok_or(Unsure)?;
                    let second = hex4(low)?;
                    if !(0xDC00..0xE000).contains(&second) {
                        return Err(Unsure);
                    }
                    code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
                    rest = &low[4..];
                }
                let char = char::from_u32(code).ok_or(Unsure)?; // a lone low surrogate is none
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(Unsure),
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

fn hex4(text: &[u8]) -> Sure<u32> {
    let mut code = 0;
    for &byte in text.get(..4).ok_or(Unsure)? {
        code = code * 16 + (byte as char).to_digit(16).ok_or(Unsure)?;
    }
    Ok(code)
}
