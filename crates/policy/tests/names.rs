//! What the built-in names catch, and the nearest things that they must leave alone. A line here is the reason for a line
//! in the tables.

use pinfold_policy::{Decision, Kind, PathPolicy, RelPath, RuleSource, Verdict, builtin_rules};
use std::sync::LazyLock;

static POLICY: LazyLock<PathPolicy> = LazyLock::new(PathPolicy::default);

fn decide(path: &str) -> Decision<'static> {
    let (path, kind) = match path.strip_suffix('/') {
        Some(path) => (path, Kind::Folder),
        None => (path, Kind::File),
    };
    POLICY.decide(RelPath::new(path.as_bytes()).unwrap(), kind)
}

/// Every line is a path; `/` at the end makes it a folder.
fn all(want: Verdict, paths: &str) {
    let wrong: Vec<String> = paths
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| (line, decide(line.strip_prefix("        ").unwrap_or(line))))
        .filter(|(_, decision)| decision.verdict != want)
        .map(|(line, decision)| format!("{}: {} by {:?}", line.trim_start(), decision.verdict, decision.rule))
        .collect();
    assert!(wrong.is_empty(), "these should be {want}:\n{}", wrong.join("\n"));
}

#[test]
fn environment_files() {
    all(
        Verdict::Mask,
        "
        .env
        .ENV
        deep/in/the/tree/.env
        .env.local
        .env.production.local
        .env.development
        .env.prod
        .env~
        .env.bak
        .env.old
        .env.1
        .env_backup
        .env-prod
        .env copy
        .env (1)
        #.env#
        .#.env
        .env.swp
        .env.save
        .env.gz
        .env.enc
        .env___jb_tmp___
        .env.d/
        .env.d/00-db
        .env.d:ro/x
        .env/
        .env.example.local
        .envrc
        .envrc.local
        .env.json
        .envs/.local/.django
        .dev.vars
        prod.env
        docker.env.production
        config/local.env
        env.production
        env.local
        env-prod
        env.json
        ENV~1
        ENV~1.LOC
        local.settings.json
        appsettings.Production.json
        ",
    );
    all(
        Verdict::Share,
        "
        .env.example
        .env.sample
        .env.template
        .env.dist
        .env.local.example
        .env-example
        .env_sample
        .env.sample.yml
        .envrc.example
        .env.example~
        .env.example.bak
        example.env
        env.example
        env.rs
        src/env.ts
        env.d.ts
        next-env.d.ts
        src/env.mjs
        env/
        config/prod.env.js
        environment.ts
        .environment.d/
        .flaskenv
        app/env.py
        appsettings.json
        appsettings.Development.json
        ",
    );
}

#[test]
fn keys_and_certificates() {
    all(
        Verdict::Mask,
        "
        id_rsa
        id_rsa.old
        id_rsa2
        id_ed25519
        id_ed25519_sk
        ID_ECDSA
        id_rsa.example
        deploy_ed25519
        github_rsa
        ssh_host_rsa_key
        app/server.pem
        server.KEY
        .server.key.swp
        server.key~
        server.key.bak
        server.pem.gz
        .server.pem.aBc123
        prod (1).pem
        prod.pem copy
        prod.pem___jb_tmp___
        key.pem
        ca-key.pem
        ca.key
        cert.pem
        example.pem
        server.key.sample
        private.asc
        secret-key.gpg
        secring.gpg
        store.p12
        store.pfx
        release.jks
        release.keystore
        AuthKey_ABC123.p8
        me.ppk
        vault.kdbx
        keys.agekey
        private_key
        private-key.txt
        deploy_key
        config/master.key
        wallet.dat
        UTC--2016-02-02T01-02-03.456789Z--abcdef
        node_modules/.cache/webpack-dev-server/server.pem
        ",
    );
    all(
        Verdict::Share,
        "
        id_rsa.pub
        id_ed25519-cert.pub
        ssh_host_rsa_key.pub
        id_rsa_generator.py
        src/id_rsa.rs
        crypto_rsa/
        known_hosts
        authorized_keys
        cacert.pem
        lib/python3/site-packages/certifi/cacert.pem
        ca-bundle.pem
        ca.pem
        rds-ca-2019-root.pem
        global-bundle.pem
        roots.pem
        fullchain.pem
        public.pem
        public_key.pem
        server.pub.pem
        dhparam.pem
        server.crt
        server.csr
        truststore.jks
        release-signing-public.key
        debug.keystore
        manual.asc
        release.tar.gz.asc
        book/en/ch01.asc
        src/private_key.rs
        public-key.json
        pgp-keys.txt
        strong-name.snk
        ",
    );
}

#[test]
fn folders_of_secrets() {
    all(
        Verdict::Mask,
        "
        secrets/
        Secrets/
        SECRETS/x/y
        secrets
        deep/secrets/top
        src/secrets/__init__.py
        .secrets/x
        credentials/
        credentials/prod
        credentials
        src/credentials
        .aws/config
        .kube/cache/x
        .ssh/
        .gnupg/x
        .azure/x
        .config/gcloud/x
        private_keys/
        terraform.tfstate.d/prod/x
        ",
    );
    all(
        Verdict::Share,
        "
        src/credentials/
        src/credentials/provider.ts
        packages/nodes-base/credentials/Slack.credentials.ts
        internal/credentials/store.go
        node_modules/aws-sdk/lib/credentials/x.js
        pkg/secret/secret.go
        src/auth/token/
        lib/creds/
        mysecrets/x
        secrets-manager/index.ts
        ",
    );
}

#[test]
fn files_named_for_secrets() {
    all(
        Verdict::Mask,
        "
        secrets.yml
        secrets.yaml
        config/secrets.json
        secrets.toml
        .streamlit/secrets.toml
        .secrets.toml
        secrets.production.yml
        secrets-prod.yaml
        db-secret.yaml
        secret.yaml
        secret
        .secret
        secrets.txt
        secrets.tar.gz
        secrets.sh
        credentials.json
        credentials
        credentials.csv
        credentials.old
        .credentials.json
        credentials (1).json
        .claude/.credentials.json
        iam_credentials.csv
        oauth_creds.json
        .gemini/oauth_creds.json
        db_password.txt
        passwords.txt
        password
        .password
        token.json
        .token
        api.token
        github_token
        .github_token
        slack_token.txt
        api_key.txt
        apikey.json
        api-keys.json
        auth.json
        .codex/auth.json
        playwright/.auth/user.json
        service-account.json
        service_account_prod.json
        my-service-account-key.json
        serviceAccountKey.json
        firebase-adminsdk.json
        proj-firebase-adminsdk-x1y2z-0123456789.json
        client_secret_123-abc.apps.googleusercontent.com.json
        client_secrets.json
        gcp-key.json
        key.json
        my-project-a1b2c3d4e5f6.json
        application_default_credentials.json
        arduino_secrets.h
        config/initializers/secret_token.rb
        x.secret
        x.secrets
        ",
    );
    all(
        Verdict::Share,
        "
        secrets.py
        src/secrets.rs
        lib/credentials.ts
        app/secrets.go
        secret.tf.md
        secrets.md
        secrets.nix
        .secrets.baseline
        .secretlintrc.json
        secrets.example.yml
        secrets.yml.example
        secrets.sample.json
        credentials.json.example
        credentials-example.json
        credentials.schema.json
        secrets.enc.yaml
        config/credentials.yml.enc
        sealed-secret.yaml
        external-secrets.yaml
        chart/templates/secret.yaml
        secret-santa.json
        locales/en/password.json
        locales/en/auth.json
        schemas/token.json
        tokens.json
        design-tokens.json
        reset_password.txt
        passwd.1
        token.rs
        src/token.json.ts
        keys.json
        primary-key.json
        package-key.ts
        bin/secret-tool
        scripts/token
        service-account.yaml
        google-services.json
        chunk-abcdef.json
        src/x-a1b2c3d4e5f6.json
        firebase.json
        monkey.json
        turkey
        broken
        ",
    );
}

#[test]
fn files_of_tools() {
    all(
        Verdict::Mask,
        "
        .netrc
        _netrc
        .npmrc
        .npmrc~
        .npmrc.1234567
        .pypirc
        .pgpass
        .pgpass.bak
        .my.cnf
        .git-credentials
        .gitcookies
        .docker/config.json
        x/.docker/config.json
        .dockercfg
        .dockerconfigjson
        admin.kubeconfig
        kubeconfig
        kubeconfig.yaml
        kubeconfig-prod
        kube_config_cluster.yml
        k3s.yaml
        prod.tfvars
        terraform.tfvars.json
        x.auto.tfvars.json
        terraform.tfstate
        terraform.tfstate.backup
        terraform.tfstate.1700000000.backup
        .terraform.tfstate.lock.info
        .terraform/terraform.tfstate
        .terraformrc
        terraform.rc
        .vault-token
        .vault_pass
        .vault_pass.txt
        vault_password_file
        vault-password
        group_vars/all/vault.yml
        .htpasswd
        wp-config.php
        wp-config.php.bak
        wp-config-local.php
        .cargo/credentials
        .cargo/credentials.toml
        .gem/credentials
        .m2/settings.xml
        .gradle/gradle.properties
        gh/hosts.yml
        .config/gh/hosts.yml
        .boto
        .s3cfg
        .rclone.conf
        profiles.yml
        home.ovpn
        wg0.conf
        .bash_history
        .psql_history
        .foo_history
        4913
        core.12345
        debug.log
        npm-debug.log
        npm-debug.log.1
        app/etc/env.php
        sites/default/settings.php
        .sentryclirc
        local.properties
        keys.txt
        ",
    );
    all(
        Verdict::Share,
        "
        config.json
        .docker/readme.md
        x.docker/config.json
        terraform.tfvars.example
        example.tfvars
        terraform.tfvars.md
        .npmrc.example
        .pgpass.sample
        settings.xml
        hosts.yml
        test/fixtures/profiles.yml
        test/fixtures/keys.txt
        src/vault.rs
        vault/
        vault/README.md
        wp-config-sample.php
        wp-content/x.php
        core/
        man/core.5.gz
        core.rs
        app.log
        49130
        settings.php
        local_settings.py
        my.cnf.md
        kubeconfig.go
        src/kubeconfig/
        .gitignore
        .editorconfig
        Cargo.toml.md
        README.md
        LICENSE
        src/main.rs
        index.html
        tsconfig.json
        logo.png
        data.csv
        dump.sql
        ",
    );
}

#[test]
fn git_and_what_looks_like_it() {
    all(
        Verdict::Private,
        "
        .git
        .git/
        .git/config
        .git/refs/heads/secrets
        .git/refs/heads/id_rsa
        .GIT/hooks/post-checkout
        nested/.git/config
        vendor/lib/.git
        bare.git/
        docs/bare.git/config
        HEAD
        docs/HEAD
        docs/head
        .git.
        .git /hooks/x
        .g\u{200c}it/config
        .G\u{131}T/config
        git~1/config
        GIT~1
        .git::$INDEX_ALLOCATION/config
        .git\\hooks
        pinfold.toml
        Pinfold.TOML
        .hg/hgrc
        .jj/repo/config.toml
        ",
    );
    all(
        Verdict::Share,
        "
        .gitignore
        git/
        foo.git
        .github.md
        HEAD/
        docs/HEADER
        .git2/
        git~x
        gitfoo
        .gitkeep
        ",
    );
    // A folder that the host hides stays hidden, whatever stands in it.
    all(Verdict::Mask, "secrets/.git/config\nsecrets/HEAD");
}

#[test]
fn what_the_host_runs_later() {
    all(
        Verdict::Watch,
        "
        .gitmodules
        .gitattributes
        sub/.gitattributes
        .gitconfig
        .mise.toml
        .tool-versions
        .nvmrc
        .exrc
        .nvim.lua
        .gdbinit
        .lldbinit
        .ripgreprc
        .vscode/tasks.json
        sub/.vscode/settings.json
        x.code-workspace
        .idea/workspace.xml
        .zed/settings.json
        .devcontainer/devcontainer.json
        .claude/settings.json
        .claude/hooks/x
        .claude/skills/a/b
        CLAUDE.md
        sub/AGENTS.md
        .mcp.json
        .codex/config.toml
        .gemini/settings.json
        .opencode/plugin/x.js
        opencode.json
        .agents/x
        .cursor/x
        .qwen/x
        .pi/extensions/x.ts
        .clinerules/hooks/x
        .clinerules
        .cline/hooks/x
        .kiro/x
        .windsurf/x
        .aider.conf.yml
        .goosehints
        .github/copilot-instructions.md
        .github/workflows/ci.yml
        .github/hooks/x.json
        package.json
        packages/a/package.json
        package-lock.json
        .yarnrc.yml
        .pnp.cjs
        node_modules/.bin/jest
        .cargo/config.toml
        rust-toolchain.toml
        build.rs
        Makefile
        GNUmakefile
        makefile.inc
        justfile
        Taskfile.yml
        .bazelrc
        BUILD
        gradlew
        gradle/wrapper/gradle-wrapper.jar
        gradle.properties
        .mvn/jvm.config
        conftest.py
        sub/conftest.py
        sitecustomize.py
        pyproject.toml
        setup.py
        tox.ini
        noxfile.py
        pkg/__pycache__/a.cpython-312.pyc
        .venv/lib/python3.12/site-packages/x.pth
        .venv/bin/python
        manage.py
        requirements-dev.txt
        .husky/pre-commit
        lefthook.yml
        .pre-commit-config.yaml
        .githooks/x
        .gitlab-ci.yml
        .circleci/config.yml
        Jenkinsfile
        docker-compose.yml
        docker-compose.prod.yml
        Dockerfile
        Dockerfile.dev
        .dockerignore
        Tiltfile
        Vagrantfile
        main.tf
        vite.config.ts
        .eslintrc.cjs
        flake.nix
        App.csproj
        .Rprofile
        .bashrc
        nested/pinfold.toml
        ",
    );
    all(
        Verdict::Share,
        "
        build/
        build/out.o
        src/app.config.json
        makefiles/
        packages.md
        docker-compose.md
        patch
        workspace/
        ",
    );
}

#[test]
fn a_decision_says_its_rule_and_reason() {
    let hidden = decide("deep/secrets/key");
    assert_eq!((hidden.rule, hidden.source), (Some("secrets"), &RuleSource::Builtin));
    assert!(hidden.reason.contains("secrets"));
    let shown = decide(".env.example");
    assert!(shown.rule.is_some() && shown.reason.contains("template"), "{shown:?}");
    let plain = decide("src/main.rs");
    assert_eq!((plain.verdict, plain.rule), (Verdict::Share, None));
}

#[test]
fn every_row_holds_for_the_plainest_path_of_its_kind() {
    for rule in builtin_rules() {
        let path = rule.pattern.replace('*', "zz");
        let verdicts =
            [Kind::File, Kind::Folder].map(|kind| POLICY.decide(RelPath::new(path.as_bytes()).unwrap(), kind).verdict);
        assert!(verdicts.iter().any(|verdict| *verdict >= rule.verdict), "{} does nothing: {verdicts:?}", rule.pattern);
    }
}

#[test]
fn bytes_that_are_no_text() {
    let cases: [(&[u8], Verdict); 8] = [
        (b"\xff/.env", Verdict::Mask),
        (b"\xff\xfe.pem", Verdict::Mask),
        (b"new\nline/.env", Verdict::Mask),
        (b"a\nb.key", Verdict::Mask),
        (b"c:\\x/.env", Verdict::Mask),
        (b".env\xff", Verdict::Mask),
        (b".g\xe2\x80\x8cit", Verdict::Private),
        (b"caf\xc3\xa9/\xff", Verdict::Share),
    ];
    for (path, want) in cases {
        let path = RelPath::new(path).unwrap();
        assert_eq!(POLICY.decide(path, Kind::File).verdict, want, "{path}");
    }
    let long = [&[b'a'; 251][..], b".pem"].concat();
    let deep = [long.as_slice(); 12].join(&b'/');
    assert_eq!(POLICY.decide(RelPath::new(&deep).unwrap(), Kind::File).verdict, Verdict::Mask);
}

#[test]
fn a_name_with_an_alias_is_judged_under_both() {
    all(
        Verdict::Mask,
        r"
        x:y.pem
        a:.env
        back\slash.pem
        conf:1/.env
        .env:stream
        .env.
        dir:ro/server.key
        ",
    );
    all(Verdict::Private, "a:b.git/\nx:y/.git/");
    all(Verdict::Share, "a:b.txt\nback\\slash.rs");
}
