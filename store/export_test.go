package store

// SealAs seals as an earlier version of the program did.
func (e *Envelope) SealAs(format byte, kind Kind, key string, version uint64, body []byte) []byte {
	return e.sealAs(format, kind, key, version, body)
}
