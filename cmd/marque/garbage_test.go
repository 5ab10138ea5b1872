package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// A server that holds next to nothing does not collect garbage at every 4 MiB, which is the least of Go's collector.
func TestServe_CollectsSeldom(t *testing.T) {
	l := newLab(t, "GODEBUG=gctrace=1", "GOGC=100")
	server := l.marque(t, "serve", "--data", l.data, "--kek-file", filepath.Join(l.dir, "kek"), "--insecure-http", "--listen", l.listen, "--admin-listen", "")
	log := &logBuffer{}
	server.Stderr = log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = server.Process.Signal(os.Interrupt)
		_ = server.Wait()
	}()
	goals := regexp.MustCompile(`, (\d+) MB goal`)
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
		for _, goal := range goals.FindAllStringSubmatch(log.String(), -1) {
			if n, err := strconv.Atoi(goal[1]); err == nil && n >= 2*garbageRoom>>20 {
				return
			}
		}
		if resp, err := http.Get("http://" + l.listen + "/healthz"); err == nil { // garbage
			resp.Body.Close()
		}
	}
	t.Errorf("the collector runs early:\n%s", log)
}
