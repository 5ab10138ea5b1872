package moving_test

import (
	"bytes"
	"testing"

	"github.com/marque-auth/marque/keys/jose"
	"github.com/marque-auth/marque/store/moving"
)

// FuzzCheck reads what strangers wrote, and, sealed with the right codes, what somebody with the key did.
// Nothing but the export itself is taken from a stranger. What somebody with the key wrote is imported whole, or not.
func FuzzCheck(f *testing.F) {
	k := kek(1)
	file := golden(f) // each worker must have the same
	all := lines(file)
	all = all[:len(all)-1]
	f.Add(file, false)
	f.Add(file[:len(file)-1], false)
	f.Add(bytes.Join(all[1:], nil), true)
	f.Add([]byte(`{"kind":"end","records":{},"floor":0`+",\"code\":\"\"}\n"), true)
	f.Add([]byte("\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed {
			var rest [][]byte
			for _, line := range lines(data) {
				if bytes.Contains(line, []byte(`,"code":"`)) {
					rest = append(rest, line)
				}
			}
			data, _ = reseal(t, append([][]byte{all[0]}, rest...), k, func(s string) string { return s })
		}
		c, err := moving.Check(t.Context(), bytes.NewReader(data), []*jose.KEK{k}, "there", nil)
		if err != nil {
			return
		}
		if !sealed && !bytes.Equal(data, file) {
			t.Fatal("something else than the export was taken")
		}
		to := newFake()
		if _, err := c.Import(t.Context(), bytes.NewReader(data), target(to)); err != nil {
			t.Fatalf("what was checked is not imported: %v", err)
		}
	})
}
