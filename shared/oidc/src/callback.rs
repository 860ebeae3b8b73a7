//! The `iss` parameter of a callback (RFC 9207), which stops one provider from passing off
//! another's answer as its own.

/// Whether a callback may come from `issuer`. A provider that promises the parameter must send it;
/// one that sends it must send its own.
pub fn is_from(issuer: &str, promised: bool, iss: Option<&str>) -> bool {
    match iss {
        Some(iss) => iss == issuer,
        None => !promised,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_of_another_provider_is_refused() {
        let ours = "https://id.example/pool";
        for (promised, iss, expected) in [
            (true, Some(ours), true),
            (true, None, false),
            (true, Some("https://id.example/pool/"), false),
            (true, Some(""), false),
            (false, None, true),
            (false, Some(ours), true),
            (false, Some("https://evil.example"), false),
        ] {
            assert_eq!(is_from(ours, promised, iss), expected, "{promised} {iss:?}");
        }
    }
}
