package authz

import (
	"time"

	"github.com/marque-auth/marque/keys/jose"
)

// A resource that changes its algorithm is a rotation, too (ROT-13): verifiers keep the JWKS, and may not have
// met the keys of the other ring. So a record says both algorithms and the instant between them, and every
// server obeys it, also one that is cut off from the store by then.

// AlgorithmAt returns what tokens that are issued at an instant are signed with.
func (r *Resource) AlgorithmAt(at time.Time) jose.Algorithm {
	if r.PreviousAlgorithm != "" && at.Before(r.AlgorithmFrom) {
		return r.PreviousAlgorithm
	}
	return r.Algorithm
}

// turnTo lets alg sign from known on, and until then what does so at now. A change that is pending is none
// any more; one to the same algorithm keeps its instant, for a repeat must not move it.
func (r *Resource) turnTo(alg jose.Algorithm, known, now time.Time) {
	if alg == r.Algorithm {
		return
	}
	signs := r.AlgorithmAt(now)
	r.Algorithm, r.PreviousAlgorithm, r.AlgorithmFrom = alg, "", time.Time{}
	if from := roundUp(known); alg != signs && from.After(now) {
		r.PreviousAlgorithm, r.AlgorithmFrom = signs, from
	}
}

// asOf returns r without a change of algorithm that is over by now.
func (r Resource) asOf(now time.Time) Resource {
	if !now.Before(r.AlgorithmFrom) {
		r.PreviousAlgorithm, r.AlgorithmFrom = "", time.Time{}
	}
	return r
}

// roundUp returns the first whole second that is not before t. Rounded down, an instant would come before
// what it waits for.
func roundUp(t time.Time) time.Time {
	whole := t.UTC().Truncate(time.Second)
	if whole.Before(t) {
		whole = whole.Add(time.Second)
	}
	return whole
}
