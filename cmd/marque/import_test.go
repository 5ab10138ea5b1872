//go:build linux || darwin

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/marque-auth/marque/store/redistest"
)

// ISS-7: an import that may have been told that nobody knows whether it will last is not called done by the next run
// because everything is there: that one asks.
func TestImport_ConfirmsWhatIsThere(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Parallel()
	redis := redistest.Start(t)
	replica := redistest.StartReplica(t, redis)
	m := filled(t, 1)
	dir := filepath.Dir(m.dir)
	file, config := filepath.Join(dir, "export"), filepath.Join(dir, "redis.yaml")
	m.run(t, "export", file, "--data", m.dir)
	for replicas, want := range []string{"Imported the installation", "whether that will last is not known"} {
		text := fmt.Sprintf("store: {driver: redis}\nredis: {addrs: ['%s']}\ndurability: {replicas: %d, timeout: 100ms}\n", redis.Addr, replicas)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if replicas > 0 {
			replica.Pause() // connected, and answers nothing
		}
		cmd, out := m.command(t.Context(), "import", file, "--config", config)
		if err := cmd.Run(); (err == nil) != (replicas == 0) || !bytes.Contains(out.Bytes(), []byte(want)) {
			t.Errorf("with %d replicas to wait for: %v\n%s", replicas, err, out)
		}
	}
}
