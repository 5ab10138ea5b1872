// Package authz is the domain of Marque: what the server decides, without HTTP and without a store.
//
// # The story of one token
//
// The endpoint reads a token request strictly and hands a [Request] to [Server.Token]. There the
// data walks one way:
//
//	Request ─► authenticate ─► decide ─► issue ─► Issued
//
// Authentication (authenticate.go) turns what was [Presented] into a client and the credential that
// proved it. Every failure costs the same and looks the same to the caller; the operator learns the
// [Cause]. Policy (policy.go, target.go) turns client and request into a [Decision]: grant, scope,
// target, in this order, each a refusal with one fixed description. Issuing (manager.go) runs the
// Decision through go-oauth2's Manager, which asks a signer of the resource's algorithm for the
// signature. Nothing is decided after the Decision was made.
//
// No step does I/O once client and resources are cached (cache.go): who follows the store's change
// feed tells the Server what changed, and that nothing did.
//
// # Taking it back
//
// What is withdrawn is remembered, not what is valid. [Revoker] stores revocations, for clients
// ([Server.Revoke]), admins and the server itself; token.Void is the one decision about them.
// [Server.Introspect] asks it over what the store says, verifiers and issuing over the index in memory.
// A token is verified (own.go) before anything that it says is looked at.
//
// # Management
//
// [Registry] is every management operation, for every surface: it checks all fields at once, commits
// the record with its audit entry, and answers only after this node has applied the change.
//
// # Errors
//
// A refusal that the caller may read is an [*Error]; too many requests are a [*ThrottledError];
// "the server cannot say now" is an [*UnavailableError], never a refusal. An absence is
// [ErrNotFound]. Everything else is a fault.
package authz
