// Package moving carries an installation from one store to another, by a file: records, signing keys, pepper,
// revocations, deletions and the audit log.
//
// [Export] writes the file from a [store.Mover]. [Check] reads all of it and says what is wrong, naming the line;
// [Contents.Import] reads it again and puts it into an empty namespace, from where it stopped before. Every line
// carries a code under the key-encryption key that follows from the code of the line before it, so that no line can
// be altered, removed, added or put elsewhere. README.md describes the file, who can read what in it, and when an
// import may go on with the tokens that were issued before.
package moving
