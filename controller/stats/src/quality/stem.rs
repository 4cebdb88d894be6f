//! Porter's stemmer as `rouge_score` uses it: NLTK's, in its default mode with NLTK's extensions.
//!
//! Ported from nltk/stem/porter.py of NLTK 3.10.4 (M. Porter, An algorithm for suffix stripping, Program
//! 14, 1980). The published stemmers differ from it in a few per cent of words, which is enough to move
//! a ROUGE score.

use std::borrow::Cow;

/// The stem of a lower-case ASCII word of more than two letters; other words as they are.
pub fn stem(word: &str) -> Cow<'_, str> {
    if let Some(&(_, stem)) = IRREGULAR.iter().find(|(form, _)| *form == word) {
        return Cow::Borrowed(stem);
    }
    if word.len() <= 2 || !word.is_ascii() {
        return Cow::Borrowed(word);
    }
    let steps = [plural, past, final_y, step2, step3, step4, final_e, final_ll];
    Cow::Owned(steps.into_iter().fold(word.to_owned(), |word, step| step(word)))
}

/// NLTK's pool of irregular forms.
const IRREGULAR: [(&str, &str); 16] = [
    ("sky", "sky"),
    ("skies", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Which letters are consonants: not a, e, i, o, u, and y only after a vowel or at the start.
fn consonants(word: &str) -> Vec<bool> {
    let mut flags: Vec<bool> = Vec::with_capacity(word.len());
    for letter in word.bytes() {
        flags.push(match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => flags.last().is_none_or(|&before| !before),
            _ => true,
        });
    }
    flags
}

/// Porter's m: how often a vowel is followed by a consonant.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| !pair[0] && pair[1]).count()
}

fn has_vowel(stem: &str) -> bool {
    consonants(stem).contains(&false)
}

fn ends_double_consonant(word: &str) -> bool {
    let letters = word.as_bytes();
    letters.len() >= 2
        && letters[letters.len() - 1] == letters[letters.len() - 2]
        && consonants(word)[letters.len() - 1]
}

/// Porter's *o, and NLTK's addition: two letters, vowel and consonant.
fn ends_cvc(word: &str) -> bool {
    match *consonants(word) {
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        [false, true] => true,
        _ => false,
    }
}

/// A suffix, what it becomes, and on which condition on the stem before it.
type Rule = (&'static str, &'static str, fn(&str) -> bool);

/// The first rule whose suffix fits decides, whether its condition holds or not.
fn apply(word: String, rules: &[Rule]) -> String {
    for &(suffix, replacement, condition) in rules {
        if let Some(stem) = word.strip_suffix(suffix) {
            return if condition(stem) { format!("{stem}{replacement}") } else { word };
        }
    }
    word
}

fn always(_: &str) -> bool {
    true
}

fn some(stem: &str) -> bool {
    measure(stem) > 0
}

fn several(stem: &str) -> bool {
    measure(stem) > 1
}

/// Step 1a.
fn plural(word: String) -> String {
    const RULES: [Rule; 4] =
        [("sses", "ss", always), ("ies", "i", always), ("ss", "ss", always), ("s", "", always)];
    match word.strip_suffix("ies") {
        Some(stem) if stem.len() == 1 => format!("{stem}ie"),
        _ => apply(word, &RULES),
    }
}

/// Step 1b.
fn past(word: String) -> String {
    if let Some(stem) = word.strip_suffix("ied") {
        return format!("{stem}{}", if word.len() == 4 { "ie" } else { "i" });
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if some(stem) { format!("{stem}ee") } else { word };
    }
    let stem = ["ed", "ing"].into_iter().find_map(|suffix| word.strip_suffix(suffix));
    let Some(stem) = stem.filter(|stem| has_vowel(stem)) else { return word };
    if stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz") {
        return format!("{stem}e");
    }
    if ends_double_consonant(stem) {
        let keeps = stem.ends_with(['l', 's', 'z']);
        return stem[..stem.len() - usize::from(!keeps)].to_owned();
    }
    if measure(stem) == 1 && ends_cvc(stem) { format!("{stem}e") } else { stem.to_owned() }
}

/// Step 1c.
fn final_y(word: String) -> String {
    const RULES: [Rule; 1] =
        [("y", "i", |stem| stem.len() > 1 && consonants(stem).last() == Some(&true))];
    apply(word, &RULES)
}

fn step2(word: String) -> String {
    const RULES: [Rule; 22] = [
        ("ational", "ate", some),
        ("tional", "tion", some),
        ("enci", "ence", some),
        ("anci", "ance", some),
        ("izer", "ize", some),
        ("bli", "ble", some),
        ("alli", "al", some),
        ("entli", "ent", some),
        ("eli", "e", some),
        ("ousli", "ous", some),
        ("ization", "ize", some),
        ("ation", "ate", some),
        ("ator", "ate", some),
        ("alism", "al", some),
        ("iveness", "ive", some),
        ("fulness", "ful", some),
        ("ousness", "ous", some),
        ("aliti", "al", some),
        ("iviti", "ive", some),
        ("biliti", "ble", some),
        ("fulli", "ful", some),
        // The l belongs to the stem, so that "geologi" has something to measure.
        ("logi", "log", |stem| some(&format!("{stem}l"))),
    ];
    match word.strip_suffix("alli") {
        Some(stem) if some(stem) => step2(format!("{stem}al")),
        _ => apply(word, &RULES),
    }
}

fn step3(word: String) -> String {
    const RULES: [Rule; 7] = [
        ("icate", "ic", some),
        ("ative", "", some),
        ("alize", "al", some),
        ("iciti", "ic", some),
        ("ical", "ic", some),
        ("ful", "", some),
        ("ness", "", some),
    ];
    apply(word, &RULES)
}

fn step4(word: String) -> String {
    const RULES: [Rule; 19] = [
        ("al", "", several),
        ("ance", "", several),
        ("ence", "", several),
        ("er", "", several),
        ("ic", "", several),
        ("able", "", several),
        ("ible", "", several),
        ("ant", "", several),
        ("ement", "", several),
        ("ment", "", several),
        ("ent", "", several),
        ("ion", "", |stem| several(stem) && stem.ends_with(['s', 't'])),
        ("ou", "", several),
        ("ism", "", several),
        ("ate", "", several),
        ("iti", "", several),
        ("ous", "", several),
        ("ive", "", several),
        ("ize", "", several),
    ];
    apply(word, &RULES)
}

/// Step 5a.
fn final_e(word: String) -> String {
    match word.strip_suffix('e') {
        Some(stem) if several(stem) || (measure(stem) == 1 && !ends_cvc(stem)) => stem.to_owned(),
        _ => word,
    }
}

/// Step 5b.
fn final_ll(word: String) -> String {
    const RULES: [Rule; 1] = [("ll", "l", |stem| several(&format!("{stem}l")))];
    apply(word, &RULES)
}
