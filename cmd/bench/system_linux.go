package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// findSeats takes the first two cores that this process may use.
func findSeats() seats {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil || allowed.Count() < 2 {
		return seats{}
	}
	var cores []int
	for core := 0; len(cores) < 2; core++ {
		if allowed.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return seats{server: cores[0], load: cores[1], taken: true}
}

// sit moves every thread of this process to the load's core. Later threads inherit that.
func (s seats) sit() error {
	if !s.taken {
		return nil
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := setCore(id, s.load); err != nil && err != unix.ESRCH { // a thread may have ended
			return fmt.Errorf("move to core %d: %w", s.load, err)
		}
	}
	return nil
}

// atServer runs f on the server's core: in a thread that is there meanwhile. What f forks inherits that
// core and never runs elsewhere, not even while it starts.
func (s seats) atServer(f func() error) error {
	if !s.taken {
		return f()
	}
	runtime.LockOSThread()
	if err := setCore(0, s.server); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err := f()
	// A thread that cannot be moved back stays locked, and ends with its goroutine.
	if err := setCore(0, s.load); err != nil {
		return err
	}
	runtime.UnlockOSThread()
	return err
}

func setCore(thread, core int) error {
	var set unix.CPUSet
	set.Set(core)
	return unix.SchedSetaffinity(thread, &set)
}

// cpuTime reads the CPU-time clock of another process, which counts nanoseconds over all of its
// threads; /proc/PID/stat counts the same in steps of 10 ms. The number of that clock is what
// clock_getcpuclockid(3) computes.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// residentMemory reads VmRSS and VmHWM of /proc/PID/status.
func residentMemory(pid int) (resident, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return resident{}, err
	}
	var r resident
	if r.Now, err = kibibytes(b, "VmRSS:"); err != nil {
		return resident{}, err
	}
	r.Peak, err = kibibytes(b, "VmHWM:")
	return r, err
}

// kibibytes finds a line such as "VmRSS:     1234 kB".
func kibibytes(status []byte, name string) (int64, error) {
	for lines := bufio.NewScanner(bytes.NewReader(status)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) == 3 && fields[0] == name && fields[2] == "kB" {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in the status of the process", name)
}

// processor names the CPU, empty when it cannot be told.
func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// peakOf is the most that a process held that has ended, in octets.
func peakOf(ended *os.ProcessState) int64 {
	if usage, ok := ended.SysUsage().(*syscall.Rusage); ok {
		return usage.Maxrss << 10
	}
	return 0
}
