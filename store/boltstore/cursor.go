package boltstore

import (
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/marque-auth/marque/store"
)

// A place in the change feed or the audit log is written epoch.sequence: the random name of the file
// and the number of the last entry before that place, in decimal.

func (db *DB) cursor(sequence uint64) string {
	return db.epoch + "." + strconv.FormatUint(sequence, 10)
}

// sequence reads a cursor of a log whose newest entry has the number head. What this file cannot
// have given out, such as a place ahead of the head after a restored backup, is store.ErrCursor.
func (db *DB) sequence(cursor string, head uint64) (uint64, error) {
	epoch, number, _ := strings.Cut(cursor, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n > head || epoch != db.epoch || cursor != db.cursor(n) {
		return 0, store.ErrCursor
	}
	return n, nil
}

// sequenceKey makes numbers sort bytewise.
func sequenceKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// sequenceOf reads a sequenceKey; ok is false for a key that is not one.
func sequenceOf(key []byte) (n uint64, ok bool) {
	if len(key) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key), true
}
