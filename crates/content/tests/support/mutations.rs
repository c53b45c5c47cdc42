//! Damage, of every small kind.

/// Hands to `check` many damaged forms of `bytes`: each bit flipped, cut off and cut into at each place, and something put in
/// or doubled at each place. Always the same ones.
pub fn for_each_mutation(bytes: &[u8], mut check: impl FnMut(Vec<u8>)) {
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1 << bit;
            check(flipped);
        }
        for value in [0x00, 0xff] {
            let mut set = bytes.to_vec();
            set[at] = value;
            if set != bytes {
                check(set);
            }
        }
        check(bytes[..at].to_vec());
        let (before, after) = bytes.split_at(at);
        check([before, &after[1..]].concat());
        check([before, &[0], after].concat());
        check([before, &after[..after.len().min(8)], after].concat());
        let noise = blake3::hash(&at.to_le_bytes());
        check([before, &noise.as_bytes()[..16], &after[after.len().min(16)..]].concat());
    }
    check([bytes, &[0]].concat());
    check([bytes, bytes].concat());
}
