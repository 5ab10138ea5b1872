package keys

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParseKEK(t *testing.T) {
	text := GenerateKEK()
	want, err := ParseKEK(text)
	if err != nil || len(text) != 43 {
		t.Fatalf("%d characters, error %v", len(text), err)
	}
	if GenerateKEK() == text {
		t.Error("the same key twice")
	}
	for _, ok := range []string{text + "\n", " \t" + text + "\r\n\n"} {
		if k, err := ParseKEK(ok); err != nil || k.ID() != want.ID() {
			t.Errorf("white space around it: %v", err)
		}
	}
	raw := strings.Repeat("\xff", 32)
	for name, bad := range map[string]string{
		"empty":         "",
		"short":         text[:42],
		"long":          text + "A",
		"31 octets":     base64.RawURLEncoding.EncodeToString([]byte(raw[:31])),
		"33 octets":     base64.RawURLEncoding.EncodeToString([]byte(raw + "x")),
		"padded":        text + "=",
		"not url":       base64.RawStdEncoding.EncodeToString([]byte(raw)),
		"hex":           strings.Repeat("ab", 32),
		"dangling bits": text[:42] + "B",
		"inner space":   text[:20] + " " + text[20:],
		"inner newline": text[:20] + "\n" + text[20:],
		"two keys":      text + "\n" + text,
		"comment":       "# key\n" + text,
	} {
		_, err := ParseKEK(bad)
		if !errors.Is(err, ErrKEK) {
			t.Errorf("%s: error %v, want ErrKEK", name, err)
		} else if len(bad) > 10 && strings.Contains(err.Error(), bad[:10]) {
			t.Errorf("%s: the error contains the text", name)
		}
	}
}

func TestKEKFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	want, err := WriteKEKFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, error %v, want 0600", info.Mode(), err)
	}
	if got, err := ReadKEKFile(path); err != nil || got.ID() != want.ID() {
		t.Errorf("read back: %v", err)
	}
	before, _ := os.ReadFile(path)
	if _, err := WriteKEKFile(path); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("writing again: error %v, want ErrExist naming the file", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("an existing key file was overwritten")
	}
	link := filepath.Join(filepath.Dir(path), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKEKFile(link); err != nil {
		t.Errorf("through a link, as secrets are mounted: %v", err)
	}
	dangling := filepath.Join(filepath.Dir(path), "dangling")
	_ = os.Symlink(filepath.Join(filepath.Dir(path), "elsewhere"), dangling)
	if _, err := WriteKEKFile(dangling); !errors.Is(err, fs.ErrExist) {
		t.Errorf("writing through a link: error %v, want ErrExist", err)
	}
	if _, err := WriteKEKFile(filepath.Join(path, "x")); err == nil {
		t.Error("written below a file")
	}
}

func TestReadKEKFileRefuses(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := GenerateKEK()
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o602, 0o610} {
		path := write("mode", text, mode)
		if _, err := ReadKEKFile(path); !errors.Is(err, ErrKEK) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: error %v, want ErrKEK and what to do", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if _, err := ReadKEKFile(write("mode", text, mode)); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
		os.Remove(filepath.Join(folder, "mode"))
	}
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"pipe":   pipe, // would block for ever
		"folder": folder,
		"empty":  write("empty", "", 0o600),
		"large":  write("large", strings.Repeat(" ", 1<<20)+text, 0o600),
		"text":   write("text", "correct horse battery staple", 0o600),
	} {
		if _, err := ReadKEKFile(path); !errors.Is(err, ErrKEK) || strings.Contains(err.Error(), "staple") {
			t.Errorf("%s: error %v, want ErrKEK", name, err)
		}
	}
	if _, err := ReadKEKFile(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: error %v, want ErrNotExist", err)
	}
}
