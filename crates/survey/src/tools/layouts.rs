//! Where version managers and installers put programs below the home, and which parts of their folders hold nothing else.

/// One manager.
pub(super) struct Layout {
    pub name: &'static str,
    /// The variable that moves its folder.
    pub var: Option<&'static str>,
    /// Its folder, below the home or absolute.
    pub at: &'static str,
    pub parts: Parts,
    /// Others that it does not work without.
    pub with: &'static [&'static str],
}

pub(super) enum Parts {
    /// All of it is programs.
    Whole,
    /// These of it; beside them lie caches, settings or credentials.
    Of(&'static [&'static str]),
    /// The installation prefix that `PATH` leads into, by its `bin`, `lib` …
    Prefix,
}

const fn whole(name: &'static str, var: Option<&'static str>, at: &'static str) -> Layout {
    Layout { name, var, at, parts: Parts::Whole, with: &[] }
}

const fn some(name: &'static str, var: Option<&'static str>, at: &'static str, of: &'static [&'static str]) -> Layout {
    Layout { name, var, at, parts: Parts::Of(of), with: &[] }
}

const fn prefix(name: &'static str, var: Option<&'static str>, at: &'static str) -> Layout {
    Layout { name, var, at, parts: Parts::Prefix, with: &[] }
}

/// The first that fits counts.
pub(super) const LAYOUTS: &[Layout] = &[
    // ~/.cargo/credentials.toml and config.toml lie beside bin; the registry may hold private crates.
    Layout { name: "cargo", var: Some("CARGO_HOME"), at: ".cargo", parts: Parts::Of(&["bin"]), with: &["rustup"] },
    whole("rustup", Some("RUSTUP_HOME"), ".rustup"),
    // etc/npmrc of each version may hold a token, so only the version in use, by its parts.
    prefix("nvm", Some("NVM_DIR"), ".nvm"),
    prefix("fnm", Some("FNM_DIR"), ".local/share/fnm"),
    prefix("nodenv versions", None, ".nodenv/versions"),
    whole("nodenv", Some("NODENV_ROOT"), ".nodenv"),
    some("volta", Some("VOLTA_HOME"), ".volta", &["bin", "tools", "cache/node"]),
    some("bun", Some("BUN_INSTALL"), ".bun", &["bin", "install/global"]),
    some("deno", Some("DENO_INSTALL"), ".deno", &["bin"]),
    whole("pnpm", Some("PNPM_HOME"), ".local/share/pnpm"),
    some("npm", None, ".npm-global", &["bin", "lib"]),
    some("npm", None, ".npm-packages", &["bin", "lib"]),
    some("yarn", None, ".yarn", &["bin"]),
    whole("pyenv", Some("PYENV_ROOT"), ".pyenv"),
    some("pipx", None, ".local/share/pipx", &["venvs", "shared"]),
    some("pipx", None, ".local/pipx", &["venvs", "shared"]),
    // credentials/ lies beside them.
    some("uv", None, ".local/share/uv", &["tools", "python"]),
    some("poetry", None, ".poetry", &["bin", "lib"]),
    some("pypoetry", None, ".local/share/pypoetry", &["venv"]),
    whole("conda", None, "miniconda3"),
    whole("conda", None, "anaconda3"),
    whole("conda", None, "miniforge3"),
    some("mise", Some("MISE_DATA_DIR"), ".local/share/mise", &["installs", "shims", "plugins"]),
    whole("asdf", Some("ASDF_DATA_DIR"), ".asdf"),
    whole("rbenv", Some("RBENV_ROOT"), ".rbenv"),
    whole("rvm", None, ".rvm"),
    whole("goenv", None, ".goenv"),
    whole("jenv", None, ".jenv"),
    whole("phpenv", None, ".phpenv"),
    whole("plenv", None, ".plenv"),
    some("sdkman", Some("SDKMAN_DIR"), ".sdkman", &["candidates"]),
    some("go", Some("GOPATH"), "go", &["bin"]),
    whole("go", None, "sdk"),
    some("linuxbrew", None, "/home/linuxbrew/.linuxbrew", BREW),
    some("linuxbrew", None, ".linuxbrew", BREW),
    // corefx/cryptography holds private keys.
    some("dotnet", Some("DOTNET_ROOT"), ".dotnet", &["dotnet", "host", "packs", "sdk", "shared", "tools"]),
    some("ghcup", None, ".ghcup", &["bin", "ghc", "hls", "cache"]),
    some("cabal", None, ".cabal", &["bin", "store"]),
    some("opam", None, ".opam", &["default"]),
    whole("elan", None, ".elan"),
    whole("juliaup", None, ".juliaup"),
    some("julia", None, ".julia", &["juliaup", "bin"]),
    some("dart", None, ".pub-cache", &["bin", "global_packages", "hosted"]),
    some("composer", None, ".composer", &["vendor"]),
    some("krew", None, ".krew", &["bin", "store"]),
    some("foundry", None, ".foundry", &["bin"]),
    // Agents.
    some("claude", None, ".local/share/claude", &["versions"]),
    some("claude", None, ".claude", &["local"]),
    some("opencode", None, ".opencode", &["bin"]),
    some("cursor", None, ".local/share/cursor-agent", &["versions"]),
    some("amp", None, ".amp", &["bin"]),
    some("codex", None, ".codex", &["bin", "packages"]),
];

const BREW: &[&str] = &["bin", "sbin", "lib", "libexec", "include", "share", "opt", "Cellar", "Caskroom", "Frameworks"];
