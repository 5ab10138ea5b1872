// Package disktest gives tests disks that are full, or may only be read, and processes whose files cannot grow.
// README.md says where that works.
package disktest
