// Package remote holds the keys of an issuer that runs elsewhere: it finds them by the issuer's
// metadata (RFC 8414), keeps them as long as the issuer says, and asks again before that ends.
//
// [Discover] returns a [Keys], whose Key method answers from memory. One goroutine, started by
// Discover and stopped by [Keys.Close], does all fetching, so that at most one fetch is under way;
// it is woken by use, never by a timer, and time is the time of Config.Now. A caller waits for a
// fetch in three cases only: the keys expired while nobody used them, the key it asks for is not
// known, or there are no keys yet.
//
// An issuer that cannot be reached is not an issuer without keys: the last good ones stay usable for
// [Config.KeepFor], and after that the answer is [ErrUnavailable], never "unknown key".
package remote
