//! What a name must be like: `*`, `?`, `[…]` and `\`, byte by byte.

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// This byte.
    Byte(u8),
    /// Any byte.
    Any,
    /// So many stars.
    Stars(usize),
    /// One of these bytes.
    Class(Class),
    /// What parts the names of a path.
    Slash,
}

/// Bytes, as `[…]` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Class {
    is_negated: bool,
    ranges: Vec<(u8, u8)>,
    kinds: Vec<ByteKind>,
}

/// Bytes, as `[:…:]` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteKind {
    Alnum,
    Alpha,
    Blank,
    Cntrl,
    Digit,
    Graph,
    Lower,
    Print,
    Punct,
    Space,
    Upper,
    Xdigit,
}

/// The pattern of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glob {
    /// This name.
    Exactly(Vec<u8>),
    /// Names that end so.
    Ending(Vec<u8>),
    /// The rest.
    Like(Vec<Token>),
}

impl Glob {
    pub(super) fn new(tokens: &[Token]) -> Glob {
        let bytes = |tokens: &[Token]| {
            tokens.iter().map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None }).collect()
        };
        if let Some(exactly) = bytes(tokens) {
            return Glob::Exactly(exactly);
        }
        if let [Token::Stars(_), rest @ ..] = tokens
            && let Some(ending) = bytes(rest)
        {
            return Glob::Ending(ending);
        }
        Glob::Like(tokens.to_vec())
    }

    /// Whether the name fits.
    pub(super) fn fits(&self, name: &[u8]) -> bool {
        match self {
            Glob::Exactly(exactly) => name == exactly,
            Glob::Ending(ending) => name.ends_with(ending),
            Glob::Like(tokens) => is_like(tokens, name),
        }
    }
}

/// Byte by byte; where it does not go on, the last star takes one byte more. Earlier stars need never be tried again.
fn is_like(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Stars(_)), _) => {
                again = Some((token, at));
                token += 1;
                continue;
            }
            (Some(wanted), Some(byte)) if wanted.fits(*byte) => {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            _ => {}
        }
        match again {
            Some((star, from)) if from < name.len() => {
                again = Some((star, from + 1));
                (token, at) = (star + 1, from + 1);
            }
            _ => return false,
        }
    }
}

impl Token {
    fn fits(&self, byte: u8) -> bool {
        match self {
            Token::Byte(wanted) => *wanted == byte,
            Token::Any => true,
            Token::Class(class) => class.holds(byte) != class.is_negated,
            Token::Stars(_) | Token::Slash => false,
        }
    }
}

impl Class {
    fn holds(&self, byte: u8) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte))
            || self.kinds.iter().any(|kind| kind.holds(byte))
    }
}

impl ByteKind {
    fn named(name: &[u8]) -> Option<ByteKind> {
        Some(match name {
            b"alnum" => ByteKind::Alnum,
            b"alpha" => ByteKind::Alpha,
            b"blank" => ByteKind::Blank,
            b"cntrl" => ByteKind::Cntrl,
            b"digit" => ByteKind::Digit,
            b"graph" => ByteKind::Graph,
            b"lower" => ByteKind::Lower,
            b"print" => ByteKind::Print,
            b"punct" => ByteKind::Punct,
            b"space" => ByteKind::Space,
            b"upper" => ByteKind::Upper,
            b"xdigit" => ByteKind::Xdigit,
            _ => return None,
        })
    }

    fn holds(self, byte: u8) -> bool {
        match self {
            ByteKind::Alnum => byte.is_ascii_alphanumeric(),
            ByteKind::Alpha => byte.is_ascii_alphabetic(),
            ByteKind::Blank => matches!(byte, b' ' | b'\t'),
            ByteKind::Cntrl => byte.is_ascii_control(),
            ByteKind::Digit => byte.is_ascii_digit(),
            ByteKind::Graph => byte.is_ascii_graphic(),
            ByteKind::Lower => byte.is_ascii_lowercase(),
            ByteKind::Print => byte == b' ' || byte.is_ascii_graphic(),
            ByteKind::Punct => byte.is_ascii_punctuation(),
            ByteKind::Space => matches!(byte, b' ' | 0x09..=0x0d),
            ByteKind::Upper => byte.is_ascii_uppercase(),
            ByteKind::Xdigit => byte.is_ascii_hexdigit(),
        }
    }
}

/// Takes a pattern apart.
pub(super) fn tokens(pattern: &[u8]) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = pattern;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        tokens.push(match byte {
            b'*' => {
                let more = rest.iter().take_while(|byte| **byte == b'*').count();
                rest = &rest[more..];
                Token::Stars(1 + more)
            }
            b'?' => Token::Any,
            b'/' => Token::Slash,
            b'[' => Token::Class(class(&mut rest)?),
            b'\\' => {
                let [escaped, behind @ ..] = rest else { return Err("it ends with a backslash that escapes nothing") };
                rest = behind;
                if *escaped == b'/' { Token::Slash } else { Token::Byte(*escaped) }
            }
            byte => Token::Byte(*byte),
        });
    }
    Ok(tokens)
}

const UNCLOSED: &str = "a `[` without its `]`";

/// Takes what follows a `[`, up to its `]`.
fn class(rest: &mut &[u8]) -> Result<Class, &'static str> {
    let mut class = Class::default();
    if let [b'!' | b'^', behind @ ..] = *rest {
        class.is_negated = true;
        *rest = behind;
    }
    // What a `-` would go on from.
    let mut first: Option<u8> = None;
    let mut is_empty = true;
    loop {
        match *rest {
            [] => return Err(UNCLOSED),
            [b']', behind @ ..] if !is_empty => {
                *rest = behind;
                return Ok(class);
            }
            [b'[', b':', behind @ ..] if kind_length(behind).is_some() => {
                let length = kind_length(behind).unwrap_or_default();
                let kind = ByteKind::named(&behind[..length]);
                class.kinds.push(kind.ok_or("a `[:…:]` that names no kind of characters")?);
                *rest = &behind[length + 2..];
                first = None;
            }
            [b'-', last, behind @ ..] if *last != b']' && first.is_some() => {
                *rest = behind;
                let last = if *last == b'\\' { escaped(rest)? } else { *last };
                class.ranges.extend(first.map(|first| (first, last)));
                first = None;
            }
            [byte, behind @ ..] => {
                *rest = behind;
                let byte = if *byte == b'\\' { escaped(rest)? } else { *byte };
                class.ranges.push((byte, byte));
                first = Some(byte);
            }
        }
        is_empty = false;
    }
}

/// How long the name of the kind is that begins here, if `:]` ends it before any other `]`.
fn kind_length(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|byte| *byte == b']')?;
    let length = end.checked_sub(1)?;
    (rest[length] == b':').then_some(length)
}

fn escaped(rest: &mut &[u8]) -> Result<u8, &'static str> {
    let [byte, behind @ ..] = *rest else { return Err(UNCLOSED) };
    *rest = behind;
    Ok(*byte)
}
