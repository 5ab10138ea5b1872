package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// composeFile reads docker-compose.yml as docker compose does.
func composeFile(t *testing.T, environment map[string]string, profiles ...string) *types.Project {
	t.Helper()
	file, err := filepath.Abs("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: filepath.Dir(file), ConfigFiles: []types.ConfigFile{{Filename: file}}, Environment: environment,
	}, func(o *loader.Options) { o.Profiles = profiles })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// oneShot are the services that end; all others run.
var oneShot = []string{"image", "init", "init-shared", "prepare", "prepare-shared"}

// TestCompose_WhatRunsIsConfined: the file says nothing that a container should not have.
func TestCompose_WhatRunsIsConfined(t *testing.T) {
	if got, want := composeFile(t, nil).ServiceNames(), []string{"image", "init", "marque", "prepare", "redis"}; !slices.Equal(got, want) {
		t.Errorf("without a profile: %q, want %q", got, want)
	}
	all := composeFile(t, nil, "sentinel")
	for name, s := range all.Services {
		prepares := strings.HasPrefix(name, "prepare")
		if prepares == (s.User == "65532:65532") || (prepares && (s.NetworkMode != "none" || s.User != "0:0")) {
			t.Errorf("%s: user %q, network %q", name, s.User, s.NetworkMode)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Privileged {
			t.Errorf("%s: read only %v, cap_drop %v, security_opt %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		if len(s.CapAdd) > 0 && !prepares {
			t.Errorf("%s: cap_add %v", name, s.CapAdd)
		}
		if ends := slices.Contains(oneShot, name); ends == (s.HealthCheck != nil) || ends == (s.Restart == "unless-stopped") {
			t.Errorf("%s: restart %q, health check %v", name, s.Restart, s.HealthCheck)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to %q", name, p.Published, p.HostIP)
			}
		}
		if strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s: image %s", name, s.Image)
		}
		if (s.Build != nil) != (name == "image") || s.Image == "marque" && s.Build == nil && s.PullPolicy != "never" {
			t.Errorf("%s: builds %v, pulls %q", name, s.Build, s.PullPolicy)
		}
		for variable := range s.Environment {
			if slices.Contains([]string{"MARQUE_KEYS_KEK", "MARQUE_REDIS_PASSWORD", "MARQUE_REDIS_SENTINEL_PASSWORD", "REDISCLI_AUTH"}, variable) {
				t.Errorf("%s: a secret in the environment, %s", name, variable)
			}
		}
		for _, v := range s.Volumes { // only who needs the key-encryption key has it, and the server cannot replace it
			if v.Source == "kek" && !(prepares || strings.HasPrefix(name, "init") || (strings.HasPrefix(name, "marque") && v.ReadOnly)) {
				t.Errorf("%s has the key-encryption key", name)
			}
			if v.Type != types.VolumeTypeVolume {
				t.Errorf("%s mounts %s of the host", name, v.Source)
			}
		}
		for network := range s.Networks {
			if strings.HasPrefix(name, "redis") || strings.HasPrefix(name, "sentinel") {
				if !all.Networks[network].Internal {
					t.Errorf("%s is in the network %s, which is not internal", name, network)
				}
			}
		}
	}
}

// TestCompose_BehindTheProxy: the servers believe the proxy's address and no other.
func TestCompose_BehindTheProxy(t *testing.T) {
	all := composeFile(t, nil, "sentinel")
	address := all.Services["proxy"].Networks["behind"].Ipv4Address
	for _, name := range []string{"marque-1", "marque-2"} {
		s := all.Services[name]
		if got := s.Environment["MARQUE_TRUSTED_PROXIES"]; address == "" || got == nil || *got != address {
			t.Errorf("%s trusts %v, and the proxy is %q", name, got, address)
		}
		if len(s.Ports) > 0 || s.Networks["public"] != nil {
			t.Errorf("%s can be reached without the proxy", name)
		}
	}
}

// TestCompose_EverySettingIsOne: a variable that is none would keep the server from starting.
func TestCompose_EverySettingIsOne(t *testing.T) {
	for _, outside := range []map[string]string{
		nil,
		{"MARQUE_ISSUER": "https://as.example", "MARQUE_INSECURE_HTTP": "false", "MARQUE_TRUSTED_PROXIES": "10.0.0.7"},
	} {
		for name, s := range composeFile(t, outside, "sentinel").Services {
			if !strings.HasPrefix(name, "marque") {
				continue
			}
			var environ []string
			for _, variable := range slices.Sorted(maps.Keys(s.Environment)) {
				value := *s.Environment[variable]
				if strings.HasSuffix(variable, "_FILE") { // made by prepare and init
					value = filepath.Join(t.TempDir(), "secret")
					secret := strings.Repeat("A", 43)
					if err := os.WriteFile(value, []byte(secret), 0o400); err != nil {
						t.Fatal(err)
					}
				}
				environ = append(environ, variable+"="+value)
			}
			var out, errs strings.Builder
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, environ: environ}
			if code := a.run(t.Context(), []string{"config", "check"}); code != exitDone {
				t.Errorf("%s: %s%s", name, &out, &errs)
			}
		}
	}
}

// TestCompose_AWrongLineIsNamed: what is wrong with a service is said by the variable that the file sets for it.
func TestCompose_AWrongLineIsNamed(t *testing.T) {
	file, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range composeFile(t, nil, "sentinel").Services {
		if !strings.HasPrefix(name, "marque") {
			continue
		}
		for variable, wrong := range map[string]string{
			"MARQUE_KEYS_KEK_FILE": "/nowhere/kek", "MARQUE_REDIS_PASSWORD_FILE": "/nowhere/password", "MARQUE_REDIS_SENTINEL_PASSWORD_FILE": "/nowhere/password",
			"MARQUE_REDIS_MASTER_NAME": "my master", "MARQUE_REDIS_ADDRS": "redis://redis", "MARQUE_ISSUER": "as.example", "MARQUE_TRUSTED_PROXIES": "proxy",
		} {
			if s.Environment[variable] == nil || *s.Environment[variable] == "" {
				continue
			}
			environ := []string{variable + "=" + wrong}
			for other, value := range s.Environment {
				if other == variable {
					continue
				}
				text := *value
				if strings.HasSuffix(other, "_FILE") { // the others are there
					text = filepath.Join(t.TempDir(), "secret")
					if err := os.WriteFile(text, []byte(strings.Repeat("A", 43)), 0o400); err != nil {
						t.Fatal(err)
					}
				}
				environ = append(environ, other+"="+text)
			}
			code, said := typed(t, environ, "config", "check")
			if code == exitDone || !strings.HasPrefix(said, "marque: "+variable+": ") || !strings.Contains(string(file), variable+":") {
				t.Errorf("%s: %s=%s: %d %s", name, variable, wrong, code, said)
			}
		}
	}
}

// TestDockerfile_CopiesWhatIsBuilt: a new top-level folder would be missing in the image alone, where no test looks.
func TestDockerfile_CopiesWhatIsBuilt(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "COPY" && words[1] == words[2] {
			copied[words[1]] = true
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{.ImportPath}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{}
	for path := range strings.FieldsSeq(string(out)) {
		if name, ours := strings.CutPrefix(path, module); ours {
			top, _, _ := strings.Cut(name, "/")
			needed[top] = true
		}
	}
	if !maps.Equal(copied, needed) {
		t.Errorf("the Dockerfile copies %q, and the program is made of %q", slices.Sorted(maps.Keys(copied)), slices.Sorted(maps.Keys(needed)))
	}
}
