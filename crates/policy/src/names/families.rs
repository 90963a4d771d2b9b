//! Rules that a table of names can't say: `.env` and its kin, copies of secrets, templates, public keys, words.
//!
//! Everything here speaks of one name, in lower case, and of what the folders above say about it. A new rule needs a line
//! in `tests/names.rs` for what it catches and one for the nearest thing that it must leave alone.

use super::{Found, Hit, Says, Subject, extensions, holds, names, narrower};
use crate::Kind;
use crate::Verdict::{Mask, Private, Share, Watch};

/// Copies of copies are looked through this often: `.env.bak.gz~`.
const COPIES: u32 = 4;

const LOOK_ALIKE: Hit = Hit {
    verdict: Private,
    rule: "git~[0-9]",
    reason: "the short name under which Windows file systems know a .git",
    key: false,
    git: true,
};
const ENV: Hit = Hit::mask(".env*", "environment variables of the project, usually with its passwords");
const ENV_STAGE: Hit = Hit::mask("env.*", "environment variables of one installation, usually with its passwords");
const ENV_SHORT: Hit = Hit::mask("env~[0-9]*", "the short name under which Windows file systems know a .env");
const VAULT_PASS: Hit = Hit::mask("*vault*pass*", "the password of Ansible's vault");
const VAULT: Hit = Hit::mask(".vault*", "the token or password of a vault");
const HISTORY: Hit = Hit::mask(".*_history", "what was typed into a shell or a client, passwords included");
const SSH_KEY: Hit =
    Hit { verdict: Mask, rule: "id_{rsa,dsa,ecdsa,ed25519}*", reason: "an SSH private key", key: true, git: false };
const NAMED_KEY: Hit =
    Hit { verdict: Mask, rule: "*_{rsa,dsa,ecdsa,ed25519}", reason: "an SSH private key", key: true, git: false };
const HOST_KEY: Hit = Hit { verdict: Mask, rule: "ssh_host_*_key", reason: "an SSH host key", key: true, git: false };
const CORE: Hit = Hit::mask("core.[0-9]*", "a dump of a program's memory, its secrets included");
const WP_CONFIG: Hit = Hit::mask("wp-config*.php", "WordPress's database password and salts");
const GCP_KEY: Hit = Hit::mask("*-<12 hex digits>.json", "the name that Google gives to a service account's key");
const ETHEREUM: Hit = Hit { verdict: Mask, rule: "UTC--*", reason: "an Ethereum wallet", key: true, git: false };
const STATE: Hit = Hit::mask("*.tf{state,vars}.*", "values or state of Terraform, where secrets stand in clear text");
const DEBUG_LOG: Hit = Hit::mask("*-debug.log*", "a debugging log: tools write their whole environment into it");
const SECRET_WORD: Hit = Hit::mask("*secret*, *credentials*, *password*", "a file of secrets, by a word in its name");
const TOKEN_WORD: Hit = Hit::mask("*token", "a login kept as a file, by a word in its name");
const KEY_WORD: Hit = Hit {
    verdict: Mask,
    rule: "*{api,access,private,secret}*key*",
    reason: "a key, by the words of its name",
    key: true,
    git: false,
};
const ACCOUNT: Hit = Hit::mask("*service-account*.json", "the key of a service account");
const FIREBASE: Hit = Hit::mask("*firebase-admin*.json", "the key of a Firebase service account");
const CLIENT_SECRET: Hit = Hit::mask("client_secret*.json", "an OAuth client's secret");
const KUBE: Hit = Hit::mask("*kubeconfig*", "access to a cluster");
const COMPOSE: Hit =
    Hit::new(Watch, "docker-compose*, Dockerfile.*", "docker, podman or a tool on top of them runs it");
const MAKEFILE: Hit = Hit::new(Watch, "Makefile.*", "make runs it");
const REQUIREMENTS: Hit = Hit::new(Watch, "requirements*.txt", "pip installs and so runs what it names");
const TEMPLATE: Hit = Hit::new(Share, "*.{example,sample,template,dist,tpl}", "a template: it shows names, not values");
const PUBLIC: Hit =
    Hit::new(Share, "*.pub, *public*, *ca-bundle*, *chain.pem", "public keys or certificates, by its name");

/// What the extensions of a name are.
#[derive(Debug, Clone, Copy, Default)]
struct Ending {
    rule: Option<Hit>,
    says: Option<Says>,
}

/// The rule for `name`, which is the subject's name or, at a depth, what is left of it without the marks of a copy.
pub(super) fn judge(subject: &Subject<'_>, name: &[u8], depth: u32) -> Option<Hit> {
    let dot = name.iter().rposition(|&b| b == b'.');
    let (stem, ext) = dot.map_or((name, &b""[..]), |at| (&name[..at], &name[at + 1..]));
    let ending = ending(subject, name, dot);
    if depth < COPIES
        && let Some(hit) = copy(subject, name, stem, ext, ending.says, depth)
    {
        return Some(hit);
    }
    if ending.says == Some(Says::Template) {
        return template(subject, stem, depth);
    }
    if let Some(hit) = by_first_letter(subject, name, ext, ending.says) {
        return Some(if is_env_template(hit, name) { TEMPLATE } else { hit });
    }
    if let Some(hit) = ending.rule {
        return Some(soften(hit, stem, ext));
    }
    by_infix(subject, stem, ext, ending.says).or_else(|| by_words(subject, stem, ext, ending.says))
}

/// One look-up for `a.b.c` by `c`, and one by `b.c`.
fn ending(subject: &Subject<'_>, name: &[u8], dot: Option<usize>) -> Ending {
    let mut ending = Ending::default();
    let Some(dot) = dot else { return ending };
    ending.take(subject, &name[dot + 1..]);
    if let Some(second) = name[..dot].iter().rposition(|&b| b == b'.') {
        ending.take(subject, &name[second + 1..]);
    }
    ending
}

impl Ending {
    fn take(&mut self, subject: &Subject<'_>, key: &[u8]) {
        for found in extensions().find(key) {
            match Hit::of(found) {
                None => self.says = Some(found.group.says),
                Some(hit) if fits(&found, subject) && self.rule.is_none_or(|rule| hit.verdict > rule.verdict) => {
                    self.rule = Some(hit);
                }
                Some(_) => {}
            }
        }
    }
}

/// [`holds`] for a row that names an extension: its pattern is no tail of the path.
fn fits(found: &Found, subject: &Subject<'_>) -> bool {
    use super::Only::*;
    let folder = subject.kind == Kind::Folder;
    match found.group.only {
        Always | Root => true,
        Folders => folder,
        Files => !folder,
        NotFiles => subject.kind != Kind::File,
        OutsideCode => !subject.place.code,
        FoldersOutsideCode => folder && !subject.place.code,
        OutsideTexts => !subject.place.texts,
    }
}

// ---- copies and templates ----

/// The marks that editors, package managers and people put around the name of what they copy. The copy of a secret is
/// a secret, and the copy of a template a template; a copy of anything else is nothing.
fn copy(subject: &Subject<'_>, name: &[u8], stem: &[u8], ext: &[u8], says: Option<Says>, depth: u32) -> Option<Hit> {
    let swap = matches!(ext, b"swp" | b"swo" | b"swn" | b"swm" | b"swx" | b"un" | b"kate-swp");
    let inner = match name {
        [b'.', b'#', rest @ ..] => rest,
        [b'#', rest @ .., b'#'] => rest,
        [b'#', rest @ ..] => rest,
        [rest @ .., b'~'] => rest,
        _ if says == Some(Says::Copy) && !stem.is_empty() => stem,
        _ if is_numbered(stem, ext) => stem,
        _ => loose_copy(name, stem, ext)?,
    };
    let hit = whole(subject, inner, depth + 1).or_else(|| {
        let bare = inner.strip_prefix(b".").filter(|_| swap || inner.len() + 1 < name.len())?;
        whole(subject, bare, depth + 1)
    })?;
    (hit.verdict == Mask || hit == TEMPLATE || hit == PUBLIC).then_some(hit)
}

/// `prod.pem.1`, `credentials.20240131`; `passwd.1` is a page of the manual.
fn is_numbered(stem: &[u8], ext: &[u8]) -> bool {
    let number = !ext.is_empty() && ext.iter().all(|b| b.is_ascii_digit() || *b == b'~');
    number && !stem.is_empty() && (ext.len() > 1 || stem.contains(&b'.'))
}

/// `prod.pem copy`, `prod (1).pem`, JetBrains' and rsync's temporary names.
fn loose_copy<'n>(name: &'n [u8], stem: &'n [u8], ext: &'n [u8]) -> Option<&'n [u8]> {
    for tail in [
        &b" copy"[..],
        b" - copy",
        b"_copy",
        b"-copy",
        b"___jb_tmp___",
        b"___jb_old___",
        b"_backup",
        b"-backup",
        b"_bak",
    ] {
        if let Some(inner) = name.strip_suffix(tail) {
            return Some(inner);
        }
    }
    if name.ends_with(b")") {
        let at = name.iter().rposition(|&b| b == b'(')?;
        return Some(name[..at].trim_ascii_end());
    }
    // rsync: `.name.ABCDEF`.
    let random =
        ext.len() == 6 && ext.iter().all(u8::is_ascii_alphanumeric) && stem.starts_with(b".") && stem.len() > 2;
    random.then(|| &stem[1..])
}

/// A name without its marks, judged by tables and families alike.
fn whole(subject: &Subject<'_>, name: &[u8], depth: u32) -> Option<Hit> {
    let mut best = None;
    for found in names().find(name) {
        if in_place(&found, subject, name) {
            best = narrower(best, Hit::of(found));
        }
    }
    best.or_else(|| judge(subject, name, depth))
}

/// Whether a row fits a name that stands in the subject's folder.
fn in_place(found: &Found, subject: &Subject<'_>, name: &[u8]) -> bool {
    let mut path = subject.path[..subject.name_at].to_vec();
    path.extend_from_slice(name);
    holds(found, &Subject { path: &path, ..*subject })
}

/// `stem` is what the template is of.
fn template(subject: &Subject<'_>, stem: &[u8], depth: u32) -> Option<Hit> {
    if stem.is_empty() || depth >= COPIES {
        return None;
    }
    let hit = whole(subject, stem, depth + 1)?;
    match hit {
        Hit { key: true, .. } => Some(hit),
        Hit { verdict: Mask, .. } => Some(TEMPLATE),
        _ => None,
    }
}

/// `.env-example`, `.env.sample.yml`, `sample.env.production` is not one.
fn is_env_template(hit: Hit, name: &[u8]) -> bool {
    if hit != ENV && hit != ENV_STAGE {
        return false;
    }
    let mut words = name.rsplit(|&b| is_break(b));
    let last = words.next().unwrap_or(b"");
    is_template_word(last) || (is_data(last) && words.next().is_some_and(is_template_word))
}

/// A rule by extension, after a look at the rest of the name: `example.tfvars`, `public.pem`.
fn soften(hit: Hit, stem: &[u8], ext: &[u8]) -> Hit {
    if hit.key {
        return if is_public(stem, ext) { PUBLIC } else { hit };
    }
    let last = stem.rsplit(|&b| is_break(b)).next().unwrap_or(b"");
    if hit.verdict == Mask && is_template_word(last) { TEMPLATE } else { hit }
}

// ---- families by first letter ----

fn by_first_letter(subject: &Subject<'_>, name: &[u8], ext: &[u8], says: Option<Says>) -> Option<Hit> {
    let code = says == Some(Says::Code);
    let folder = subject.kind == Kind::Folder;
    match name.first()? {
        b'.' => hidden(name, code),
        b'e' if matches!(name, [b'e', b'n', b'v', b'.' | b'-' | b'_', ..]) => {
            (says == Some(Says::Stage) || is_stage(&name[4..])).then_some(ENV_STAGE)
        }
        b'e' if is_short_name(name, b"env~") => Some(ENV_SHORT),
        b'g' if is_short_name(name, b"git~") => Some(LOOK_ALIKE),
        b'i' if !code && !folder && is_ssh_key(name) => Some(SSH_KEY),
        b's' if !code && name.starts_with(b"ssh_host_") && name.ends_with(b"_key") => Some(HOST_KEY),
        b'c' if !folder && is_core(name) => Some(CORE),
        b'v' if !folder && name.starts_with(b"vgcore.") => Some(CORE),
        b'v' if !code && name.starts_with(b"vault") => {
            let rest = name[5..].trim_ascii_start();
            let rest = rest.strip_prefix(b"_").or(rest.strip_prefix(b"-")).unwrap_or(rest);
            rest.starts_with(b"pass").then_some(VAULT_PASS)
        }
        b'w' if name.starts_with(b"wp-config") && ext == b"php" => Some(WP_CONFIG),
        b'u' if name.starts_with(b"utc--") => Some(ETHEREUM),
        b'd' if name.starts_with(b"docker-compose") && is_yaml(ext) => Some(COMPOSE),
        b'c' if name.starts_with(b"compose.") && is_yaml(ext) => Some(COMPOSE),
        b'd' if name.starts_with(b"dockerfile.") || name.starts_with(b"dockerfile-") => Some(COMPOSE),
        b'c' if name.starts_with(b"containerfile.") => Some(COMPOSE),
        b'm' if name.starts_with(b"makefile.") => Some(MAKEFILE),
        b'r' if name.starts_with(b"requirements") && ext == b"txt" => Some(REQUIREMENTS),
        _ => None,
    }
}

fn hidden(name: &[u8], code: bool) -> Option<Hit> {
    if let Some(rest) = name.strip_prefix(b".env") {
        let ours = match rest.first() {
            None => true,
            Some(b) => !b.is_ascii_alphabetic() || rest.starts_with(b"rc"),
        };
        return ours.then_some(ENV);
    }
    if name.starts_with(b".vault") && !code {
        return Some(VAULT);
    }
    if name.ends_with(b"_history") {
        return Some(HISTORY);
    }
    None
}

fn is_yaml(ext: &[u8]) -> bool {
    matches!(ext, b"yml" | b"yaml")
}

fn is_short_name(name: &[u8], start: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(start) else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && (digits == rest.len() || rest[digits] == b'.')
}

fn is_ssh_key(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"id_") else { return false };
    let kinds: [&[u8]; 5] = [b"rsa", b"dsa", b"ecdsa", b"ed25519", b"xmss"];
    let Some(rest) = kinds.iter().find_map(|kind| rest.strip_prefix(*kind)) else { return false };
    !rest.ends_with(b".pub") && !rest.first().is_some_and(u8::is_ascii_alphabetic)
}

fn is_core(name: &[u8]) -> bool {
    name.strip_prefix(b"core.").is_some_and(|rest| rest.len() > 1 && rest.iter().all(u8::is_ascii_digit))
}

// ---- families by what stands in the middle ----

fn by_infix(subject: &Subject<'_>, stem: &[u8], ext: &[u8], says: Option<Says>) -> Option<Hit> {
    if ext == b"json" && !subject.place.code && is_gcp_key(stem) {
        return Some(GCP_KEY);
    }
    if ext == b"log" && (stem.ends_with(b"-debug") || stem.ends_with(b".debug")) {
        return Some(DEBUG_LOG);
    }
    let at = stem.iter().position(|&b| b == b'.')?;
    let mut parts = stem[at + 1..].split(|&b| b == b'.');
    if says != Some(Says::Code) && parts.clone().any(|part| matches!(part, b"tfstate" | b"tfvars")) {
        return Some(STATE);
    }
    // `docker.env.production`; `config/prod.env.js` is webpack's.
    (parts.next_back() == Some(b"env") && says == Some(Says::Stage)).then_some(ENV_STAGE)
}

/// `<project>-0123456789ab.json`.
fn is_gcp_key(stem: &[u8]) -> bool {
    let Some((head, id)) = stem.split_last_chunk::<12>() else { return false };
    head.len() > 3
        && head.ends_with(b"-")
        && id.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        && id.iter().any(u8::is_ascii_digit)
        && id.iter().any(u8::is_ascii_alphabetic)
}

// ---- words ----

/// A name's words. Of a name with more than there is room for, the first ones and the last.
#[derive(Debug, Clone, Copy, Default)]
struct Words<'n> {
    list: [&'n [u8]; 8],
    len: usize,
}

impl<'n> Words<'n> {
    fn new(stem: &'n [u8]) -> Self {
        let mut words = Words::default();
        for word in stem.split(|&b| is_break(b)).map(without_digits).filter(|word| !word.is_empty()) {
            words.len = (words.len + 1).min(words.list.len());
            words.list[words.len - 1] = word;
        }
        words
    }

    fn all(&self) -> &[&'n [u8]] {
        &self.list[..self.len]
    }

    /// The words without those at the end that only say for which installation.
    fn core(&self) -> &[&'n [u8]] {
        let mut core = self.all();
        while let [head @ .., last] = core
            && !head.is_empty()
            && (is_stage(last) || matches!(*last, b"copy" | b"old" | b"new" | b"backup" | b"final" | b"tmp"))
        {
            core = head;
        }
        core
    }
}

fn by_words(subject: &Subject<'_>, stem: &[u8], ext: &[u8], says: Option<Says>) -> Option<Hit> {
    let bare = says.is_none() && ext.is_empty() || says == Some(Says::Stage);
    let plain = bare || says == Some(Says::Data);
    let hidden_word = stem.is_empty();
    if subject.kind == Kind::Folder || subject.place.texts || !(plain || hidden_word || says == Some(Says::Armour)) {
        return None;
    }
    let words = Words::new(if hidden_word { ext } else { stem });
    let core = words.core();
    if says == Some(Says::Armour) {
        let private = core.iter().any(|w| matches!(*w, b"private" | b"secret" | b"secring" | b"privkey" | b"sec"));
        return (private && !is_public(stem, ext)).then_some(KEY_WORD);
    }
    if bare && subject.place.programs && !hidden_word {
        return None;
    }
    secret_word(subject, core, bare || ext == b"txt")
        .or_else(|| first_word(stem, core))
        .or_else(|| token_word(core, bare || hidden_word, ext))
        .or_else(|| key_word(core, ext))
        .or_else(|| cloud_words(core, stem, ext))
        .or_else(|| (bare && !hidden_word && is_named_key(stem)).then_some(NAMED_KEY))
}

/// The last word names what the file holds: `db-password.txt`, `prod-credentials.json`.
fn secret_word(subject: &Subject<'_>, core: &[&[u8]], loose: bool) -> Option<Hit> {
    let (last, before) = core.split_last()?;
    let before = before.last().copied().unwrap_or(b"");
    let hit = match *last {
        b"secret" | b"secrets" => {
            !matches!(before, b"sealed" | b"external" | b"no" | b"sealedsecret") && !subject.place.templates
        }
        b"credential" | b"credentials" | b"creds" => !matches!(before, b"no" | b"verifiable"),
        b"password" | b"passwords" | b"passwd" | b"passphrase" | b"pwd" => {
            let verbs: [&[u8]; 10] = [
                b"reset",
                b"forgot",
                b"forgotten",
                b"change",
                b"changed",
                b"update",
                b"new",
                b"set",
                b"lost",
                b"confirm",
            ];
            (core.len() == 1 || loose) && !verbs.contains(&before) && !subject.place.templates
        }
        _ => false,
    };
    hit.then_some(SECRET_WORD)
}

/// `secrets.anything.yml`: the first part, when a dot ends it.
fn first_word(stem: &[u8], core: &[&[u8]]) -> Option<Hit> {
    let stem = stem.strip_prefix(b".").unwrap_or(stem);
    let first = stem.split(|&b| b == b'.').next()?;
    let dotted = first.len() < stem.len() && matches!(first, b"secret" | b"secrets" | b"credentials" | b"creds");
    let harmless = core.iter().any(|w| is_template_word(w) || matches!(*w, b"enc" | b"sops" | b"sealed" | b"schema"));
    (dotted && !harmless).then_some(SECRET_WORD)
}

/// `.github_token`, `api-token`, `slack_token.txt`; not `tokens.json`, which is how designers keep colours.
fn token_word(core: &[&[u8]], bare: bool, ext: &[u8]) -> Option<Hit> {
    let last = *core.last()?;
    let token = matches!(last, b"token" | b"tokens" | b"apitoken" | b"authtoken" | b"accesstoken" | b"ghtoken");
    let csrf = core.iter().any(|w| matches!(*w, b"csrf" | b"design" | b"special"));
    (token && !csrf && (bare || (ext == b"txt" && core.len() > 1))).then_some(TOKEN_WORD)
}

fn key_word(core: &[&[u8]], ext: &[u8]) -> Option<Hit> {
    let (last, before) = core.split_last()?;
    let before = before.last().copied().unwrap_or(b"");
    let joined = matches!(
        *last,
        b"apikey"
            | b"apikeys"
            | b"privatekey"
            | b"privkey"
            | b"accesskey"
            | b"accesskeys"
            | b"secretkey"
            | b"masterkey"
            | b"deploykey"
    );
    let qualified = matches!(*last, b"key" | b"keys")
        && matches!(
            before,
            b"api"
                | b"access"
                | b"private"
                | b"secret"
                | b"deploy"
                | b"signing"
                | b"encryption"
                | b"master"
                | b"ssh"
                | b"gcp"
                | b"gcloud"
                | b"google"
                | b"sa"
                | b"firebase"
                | b"bigquery"
                | b"stripe"
                | b"openai"
                | b"anthropic"
                | b"service"
                | b"account"
                | b"age"
                | b"root"
                | b"server"
                | b"tls"
                | b"aws"
                | b"azure"
                | b"github"
        );
    let public = core.iter().any(|w| matches!(*w, b"public" | b"pub"));
    ((joined || qualified) && !public && ext != b"pub").then_some(KEY_WORD)
}

fn cloud_words(core: &[&[u8]], stem: &[u8], ext: &[u8]) -> Option<Hit> {
    let pair = |a: &[u8], b: &[u8]| core.windows(2).any(|w| w[0] == a && w[1] == b);
    let kube =
        core.iter().any(|w| *w == b"kubeconfig") || (core.first() == Some(&&b"kube"[..]) && pair(b"kube", b"config"));
    if kube {
        return Some(KUBE);
    }
    if ext != b"json" {
        return None;
    }
    if pair(b"service", b"account") || core.iter().any(|w| *w == b"serviceaccount" || *w == b"serviceaccountkey") {
        return Some(ACCOUNT);
    }
    if pair(b"firebase", b"adminsdk") || pair(b"firebase", b"admin") {
        return Some(FIREBASE);
    }
    (stem.starts_with(b"client_secret") || stem.starts_with(b"client-secret")).then_some(CLIENT_SECRET)
}

/// `deploy_ed25519`, `github_rsa`: what people call the keys that they make beside their own.
fn is_named_key(stem: &[u8]) -> bool {
    let ends: [&[u8]; 8] = [b"_rsa", b"-rsa", b"_ed25519", b"-ed25519", b"_ecdsa", b"-ecdsa", b"_dsa", b"_ed25519_sk"];
    ends.iter().any(|end| stem.len() > end.len() && stem.ends_with(end))
}

/// Whether the words of a key's name say that anyone may read it. `ca.pem` is a certificate, `ca.key` is not.
fn is_public(stem: &[u8], ext: &[u8]) -> bool {
    let words = Words::new(stem);
    let has = |want: &[&[u8]]| words.all().iter().any(|word| want.contains(word));
    let public = has(&[b"public", b"pub", b"pubkey", b"publickey", b"truststore"]);
    if has(&[b"private", b"priv", b"privkey", b"secret", b"sec"]) {
        return false;
    }
    if public {
        return true;
    }
    if ext != b"pem" || has(&[b"key", b"keys"]) {
        return false;
    }
    let certificates =
        [&b"cert"[..], b"certs", b"certificate", b"certificates", b"bundle", b"chain", b"root", b"roots"];
    has(&[b"cacert", b"cacerts", b"cabundle", b"fullchain", b"chain", b"roots", b"dhparam", b"dhparams", b"csr"])
        || (has(&[b"ca"]) && (words.len == 1 || has(&certificates)))
        || (has(&[b"global"]) && has(&[b"bundle"]))
}

fn is_break(b: u8) -> bool {
    matches!(b, b'.' | b'-' | b'_' | b' ' | b'(' | b')' | b'+' | b'@' | b',' | b'=')
}

fn without_digits(word: &[u8]) -> &[u8] {
    let digits = word.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    &word[..word.len() - digits]
}

fn is_template_word(word: &[u8]) -> bool {
    extension_says(word, Says::Template)
}

fn is_stage(word: &[u8]) -> bool {
    extension_says(word, Says::Stage)
}

fn is_data(word: &[u8]) -> bool {
    extension_says(word, Says::Data)
}

fn extension_says(word: &[u8], says: Says) -> bool {
    extensions().find(word).any(|found| found.group.says == says)
}
