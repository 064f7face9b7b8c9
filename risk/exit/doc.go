// Package exit answers "how do we leave?": it writes all that an installation holds into one signed archive of open formats, checks such an archive with the public
// key alone, imports it into an empty installation of either store, and proves by comparing folds that nothing was lost or changed.
//
// The archive is a tar file of JSON Lines, with the contents of blobs beside them; docs/exit.md has every field. Its last file is the manifest, a DSSE envelope with
// the SHA-256 of every file before it and of every block of the longer ones, so that a change is not only seen but found.
//
// The package also says how ready an installation is to leave, for an auditor, and makes the rows of the register of information of Regulation (EU) 2022/2554 (DORA)
// from the calls that really happened.
package exit
