//! Zones in log lines: abbreviations and offsets. An abbreviation is one offset, the same all year.

/// Abbreviations by their offset from UTC in minutes. Several stand for more than one zone on earth;
/// these are the readings that fail2ban has. Single letters are the military zones (RFC 822 5.1).
#[rustfmt::skip]
const ABBREVIATIONS: &[(i32, &str)] = &[
    (-720, "Y"),
    (-660, "X NUT SST"),
    (-600, "W CKT HAST HST TAHT TKT"),
    (-570, "MART MIT"),
    (-540, "V AKST GAMT GIT HADT HNY"),
    (-480, "U AKDT CIST HAY HNP PST PT"),
    (-420, "T HAP HNR MST PDT"),
    (-360, "S CST EAST GALT HAR HNC MDT"),
    (-300, "R CDT COT EASST ECT EST ET HAC HNE PET"),
    (-270, "HLV VET"),
    (-240, "Q AST BOT CLT COST EDT FKT GYT HAE HNA PYT"),
    (-210, "HNT NST NT"),
    (-180, "P ADT ART BRT CLST FKST GFT HAA PMST PYST SRT UYT WGT"),
    (-150, "HAT NDT"),
    (-120, "O BRST FNT PMDT UYST WGST"),
    (-60, "N AZOT CVT EGT"),
    (0, "Z EGST GMT UTC WET WT"),
    (60, "A CET DFT WAT WEDT WEST"),
    (120, "B CAT CEDT CEST EET SAST WAST"),
    (180, "C EAT EEDT EEST IDT MSK"),
    (210, "IRST"),
    (240, "D AMT AZT GET GST KUYT MSD MUT RET SAMT SCT"),
    (270, "AFT IRDT"),
    (300, "E AMST AQTT AZST HMT MAWT MVT PKT TFT TJT TMT UZT YEKT"),
    (330, "SLT"),
    (345, "NPT"),
    (360, "F ALMT BIOT BTT IOT KGT NOVT OMST YEKST"),
    (390, "CCT MMT"),
    (420, "G CXT DAVT HOVT ICT KRAT NOVST OMSST THA WIB"),
    (480, "H ACT AWST BDT BNT CAST HKT IRKT KRAST MYT PHT SGT ULAT WITA WST"),
    (540, "I AWDT IRKST JST KST PWT TLT WDT WIT YAKT"),
    (570, "ACST"),
    (600, "K AEST ChST PGT VLAT YAKST YAPT"),
    (630, "ACDT LHST"),
    (660, "L AEDT LHDT MAGT NCT PONT SBT VLAST VUT"),
    (690, "NFT"),
    (720, "M ANAST ANAT FJT GILT MAGST MHT NZST PETST PETT TVT WFT"),
    (780, "FJST NZDT"),
];

/// Minutes east of UTC of `Z`, `CET`, `+0130`, `+01`, `UTC+01:30`, as fail2ban knows them: no zone
/// changes with the season. `None` for what is no zone.
#[must_use]
pub fn minutes_east(zone: &str) -> Option<i32> {
    let letters = zone.bytes().take_while(u8::is_ascii_uppercase).count();
    let (name, offset) = zone.split_at(letters);
    let base = match name {
        "" => 0,
        name => named(name)?,
    };
    if offset.is_empty() {
        return (!name.is_empty()).then_some(base);
    }
    Some(base + minutes(offset)?)
}

fn named(name: &str) -> Option<i32> {
    let mut rows = ABBREVIATIONS.iter();
    rows.find(|(_, names)| names.split(' ').any(|known| known == name))
        .map(|(minutes, _)| *minutes)
}

/// `+hh`, `+hhmm` or `+hh:mm`.
fn minutes(offset: &str) -> Option<i32> {
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<i32>().ok()).flatten()
    };
    let minutes = if minutes.is_empty() {
        0
    } else {
        number(minutes)?
    };
    Some(sign * (number(hours)? * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_abbreviations_and_offsets() {
        for (zone, expected) in [
            ("Z", Some(0)),
            ("CET", Some(60)),
            ("+0130", Some(90)),
            ("-01:30", Some(-90)),
            ("-04", Some(-240)),
            ("CET+0100", Some(120)),
            ("NPT", Some(345)),
            ("ERROR", None),
            ("", None),
            ("+1", None),
        ] {
            assert_eq!(minutes_east(zone), expected, "{zone}");
        }
    }
}
