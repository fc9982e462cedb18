//! Numbers, decimals and times, each read from where it is written. Exact, or not sure.

use crate::scan::{Cursor, Sure, Unsure};

/// Digits that decimal128 holds; counted as written, leading zeros included.
const DIGIT_LIMIT: usize = 34;
/// So many digits always fit 64 bits.
const WORD: usize = 19;
const BIAS: u64 = 6176;
const SECOND: i64 = 1_000_000_000;

pub enum Number {
    Integer(i64),
    Double(f64),
}

/// A decimal text: sign, digits and how many of them stand after the point.
pub struct Decimal<'a> {
    pub text: &'a [u8],
    negative: bool,
    digits: u128,
    scale: u64,
}

impl Decimal<'_> {
    /// The 16 bytes of decimal128 (BID encoding, little endian).
    #[inline(always)]
    pub fn bytes(&self) -> [u8; 16] {
        let high = (BIAS - self.scale) << 49 | (self.negative as u64) << 63;
        (self.digits | (high as u128) << 64).to_le_bytes()
    }

    /// The nearest double.
    pub fn double(&self) -> Sure<f64> {
        double(self.text)
    }
}

fn double(text: &[u8]) -> Sure<f64> {
    let text = std::str::from_utf8(text).map_err(|_| Unsure)?;
    let value: f64 = text.parse().map_err(|_| Unsure)?;
    if value.is_finite() { Ok(value) } else { Err(Unsure) }
}

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn digit(&self) -> Option<u8> {
        let digit = self.peek().wrapping_sub(b'0');
        if digit < 10 { Some(digit) } else { None }
    }

    /// Digits as a number, which wraps beyond `WORD` of them: the caller asks how many were passed.
    #[inline(always)]
    fn digits(&mut self, mut value: u64) -> u64 {
        while let Some(digit) = self.digit() {
            value = value.wrapping_mul(10).wrapping_add(digit as u64);
            self.at += 1;
        }
        value
    }

    /// A quoted decimal text: `-?[0-9]+(\.[0-9]+)?` of at most 34 digits.
    #[inline(always)]
    pub fn decimal(&mut self) -> Sure<Decimal<'a>> {
        self.take(b'"')?;
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += negative as usize;
        let first = self.at;
        let mut value = self.digits(0);
        let whole = self.at - first;
        let mut scale = 0;
        if self.peek() == b'.' {
            self.at += 1;
            let point = self.at;
            value = self.digits(value);
            scale = self.at - point;
            if scale == 0 {
                return Err(Unsure);
            }
        }
        let text = &self.text[start..self.at];
        let count = whole + scale;
        if whole == 0 || count > DIGIT_LIMIT {
            return Err(Unsure);
        }
        self.take(b'"')?;
        let digits = if count <= WORD { value as u128 } else { wide(text) };
        Ok(Decimal { text, negative, digits, scale: scale as u64 })
    }

    /// A quoted time text as nanoseconds since 1970, the years 1677 to 2262.
    #[inline(always)]
    pub fn time(&mut self) -> Sure<i64> {
        self.take(b'"')?;
        let text: &[u8; 19] =
            self.text.get(self.at..self.at + 19).and_then(|text| text.try_into().ok()).ok_or(Unsure)?;
        let seconds = seconds(text)?;
        self.at += 19;
        let mut nanos = 0;
        if self.peek() == b'.' {
            self.at += 1;
            let start = self.at;
            nanos = self.digits(0);
            let count = self.at - start;
            if count == 0 || count > 9 {
                return Err(Unsure);
            }
            for _ in count..9 {
                nanos *= 10;
            }
        }
        if self.peek() == b'Z' {
            self.at += 1;
        }
        self.take(b'"')?;
        // In 128 bits: the last second before int64 begins is written with a fraction that leads back into it.
        i64::try_from(seconds as i128 * SECOND as i128 + nanos as i128).map_err(|_| Unsure)
    }

    #[inline(always)]
    pub fn boolean(&mut self) -> Sure<bool> {
        if self.passes(b"true") {
            Ok(true)
        } else if self.passes(b"false") {
            Ok(false)
        } else {
            Err(Unsure)
        }
    }

    /// A number that is an integer.
    #[inline(always)]
    pub fn integer(&mut self) -> Sure<i64> {
        match self.number()? {
            Number::Integer(value) => Ok(value),
            Number::Double(_) => Err(Unsure),
        }
    }

    /// A JSON number. One without `.`, `e` and `E` is an integer (`-0` is 0).
    #[inline(always)]
    pub fn number(&mut self) -> Sure<Number> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += negative as usize;
        let first = self.at;
        let value = self.digits(0);
        let count = self.at - first;
        if count == 0 || (count > 1 && self.text[first] == b'0') {
            return Err(Unsure);
        }
        if matches!(self.peek(), b'.' | b'e' | b'E') {
            return self.fraction(start).map(Number::Double);
        }
        if count > WORD {
            return Err(Unsure);
        }
        let value = if negative { -(value as i128) } else { value as i128 };
        i64::try_from(value).map(Number::Integer).map_err(|_| Unsure)
    }

    /// The rest of a number that is a double; the cursor is at its `.`, `e` or `E`.
    fn fraction(&mut self, start: usize) -> Sure<f64> {
        if self.peek() == b'.' {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits()?;
        }
        double(&self.text[start..self.at])
    }

    fn some_digits(&mut self) -> Sure<()> {
        let start = self.at;
        self.digits(0);
        if self.at > start { Ok(()) } else { Err(Unsure) }
    }
}

/// The digits of a decimal text, which are at most 34.
#[cold]
fn wide(text: &[u8]) -> u128 {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + (digit - b'0') as u128)
}

/// `YYYY-MM-DDTHH:MM:SS` as seconds since 1970, proleptic Gregorian, no leap seconds.
#[inline(always)]
fn seconds(text: &[u8; 19]) -> Sure<i64> {
    const FORM: &[u8; 19] = b"0000-00-00T00:00:00";
    let mut fine = true;
    for (&byte, &form) in text.iter().zip(FORM) {
        fine &= if form == b'0' { byte.is_ascii_digit() } else { byte == form };
    }
    if !fine {
        return Err(Unsure);
    }
    let two = |at: usize| (text[at] - b'0') as i64 * 10 + (text[at + 1] - b'0') as i64;
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    if year == 0 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
        return Err(Unsure);
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    const LENGTHS: [i64; 13] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day > LENGTHS[month as usize] + (leap && month == 2) as i64 {
        return Err(Unsure);
    }
    // Years that begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Ok(days * 86_400 + hour * 3600 + minute * 60 + second)
}
