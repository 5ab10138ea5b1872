package verifier

import "time"

// SetPace has waits end sooner, and streams that nothing comes of later, than they would.
func (f *Feed) SetPace(first, quiet, soon time.Duration) {
	f.pace = &pace{dial: first, first: first, quiet: quiet, soon: soon, late: soon, excess: soon}
}
