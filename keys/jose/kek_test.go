package jose

import (
	"encoding/hex"
	"testing"
)

// A MAC key hangs on the secret, the label and the salt, each by itself, and stays what it is: files that were
// written are read for ever.
func TestKEK_MACKey(t *testing.T) {
	t.Parallel()
	derive := func(k *KEK, label, salt string) string {
		key, err := k.MACKey(label, []byte(salt))
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(key[:])
	}
	got := derive(testKEK(1), "export", "salt")
	if want := "12c739cb5b972c4e8cc6a5fcccb26745972f3fbb9baa319c3d1aa7a0f1cce9a7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, other := range map[string]string{
		"secret": derive(testKEK(2), "export", "salt"),
		"label":  derive(testKEK(1), "exports", "salt"),
		"salt":   derive(testKEK(1), "export", "salty"),
		"none":   derive(testKEK(1), "export", ""),
	} {
		if other == got {
			t.Errorf("another %s gives the same key", name)
		}
	}
}
