package redistest_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/marque-auth/marque/store/redistest"
)

// victim is set for the test binary that TestStart_EndsWithAKilledTestBinary starts, and kills.
const victim = "REDISTEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// A server in the hands of a test that is killed.
func TestVictim(t *testing.T) {
	if os.Getenv(victim) == "" {
		t.Skip("run by TestStart_EndsWithAKilledTestBinary")
	}
	s := redistest.Start(t)
	fmt.Println(s.Addr, s.Dir())
	time.Sleep(time.Minute)
}

// judged is a test that notes its verdict instead of ending the one that it stands for.
type judged struct {
	testing.TB
	verdict, said string
}

func (j *judged) Helper() {}

func (j *judged) Skip(args ...any) { j.stop("skip", fmt.Sprint(args...)) }

func (j *judged) Fatal(args ...any) { j.stop("fatal", fmt.Sprint(args...)) }

func (j *judged) Fatalf(format string, args ...any) { j.stop("fatal", fmt.Sprintf(format, args...)) }

func (j *judged) stop(verdict, said string) {
	j.verdict, j.said = verdict, said
	runtime.Goexit()
}

// judge runs what may end a test.
func judge(t *testing.T, run func(testing.TB)) *judged {
	t.Helper()
	j := &judged{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		run(j)
	}()
	<-done
	return j
}

// soon asks until the condition holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
