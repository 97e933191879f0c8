/*
 * names.h
 *		Event types and organizations that were looked up already.
 *
 * A bulk change asks for the same few again and again.
 */
#ifndef WH_NAMES_H
#define WH_NAMES_H

typedef struct Names Names;

/* Empty; lives in the current memory context. */
extern Names *wh_names_create(void);

/*
 * The session's: what is known there is what a look-up now would find.  Whoever
 * keeps them for a statement gets names of when it began, or of since.
 */
extern Names *wh_names_of_moment(void);

/* As wh_catalogue_check_event_type. */
extern void wh_names_check_event_type(Names *names, text *type);

/* As wh_catalogue_organization_name; valid until the next call. */
extern const char *wh_names_organization(Names *names, text *id);

#endif							/* WH_NAMES_H */
