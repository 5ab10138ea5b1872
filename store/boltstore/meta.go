package boltstore

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
)

// A bbolt file begins with two meta pages, which commits write by turns: after a header of 16 octets
// come 56 octets, at whose start are magic and version, and their FNV-1a sum. All numbers are the
// machine's.
const (
	metaOffset  = 16
	metaSummed  = 56
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	metaProblem = "one of the file's two head pages (number %d) is not whole; the state of the other is used. " +
		"If a write was cut off by a crash, nothing is lost; otherwise the last write may be: compare the end of the audit log, or restore a backup"
)

// metaProblems says which meta page of an open file is not whole. bbolt goes by the other one then,
// and says nothing: that is right after a crash, whose commit nobody saw acknowledged, and it takes
// back the last write if the page was damaged later. The two look the same from here.
func metaProblems(f *os.File, pageSize int) []string {
	var problems []string
	for n := range 2 {
		var page [metaOffset + metaSummed + 8]byte
		if _, err := f.ReadAt(page[:], int64(n)*int64(pageSize)); err != nil || !wholeMeta(page[metaOffset:]) {
			problems = append(problems, fmt.Sprintf(metaProblem, n))
		}
	}
	return problems
}

func wholeMeta(meta []byte) bool {
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSummed])
	order := binary.NativeEndian
	return order.Uint32(meta) == metaMagic && order.Uint32(meta[4:]) == metaVersion &&
		order.Uint64(meta[metaSummed:]) == sum.Sum64()
}
