//go:build !linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func findSeats() seats { return seats{} }

func (seats) sit() error { return nil }

func (seats) atServer(f func() error) error { return f() }

// cpuTime asks ps, which counts in steps of 10 ms on the BSDs and macOS.
func cpuTime(pid int) (time.Duration, error) {
	text, err := ps(pid, "time")
	if err != nil {
		return 0, err
	}
	return parseClock(text)
}

func residentMemory(pid int) (resident, error) {
	text, err := ps(pid, "rss")
	if err != nil {
		return resident{}, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return resident{Now: n << 10}, err
}

func ps(pid int, column string) (string, error) {
	out, err := exec.Command("ps", "-o", column+"=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return "", fmt.Errorf("ps -o %s: %w", column, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func processor() string { return "" }

func peakOf(*os.ProcessState) int64 { return 0 }
