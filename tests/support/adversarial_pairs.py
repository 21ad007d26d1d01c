"""Pairs of requests that differ in a word or two and must not share an answer, written by hand, by domain. `text | changed`."""

from __future__ import annotations

_PAIRS = """
support: negation
I received my refund | I never received my refund
my order has arrived | my order has not arrived
the app works on my tablet | the app doesn't work on my tablet
I want to renew my subscription | I don't want to renew my subscription
the coupon was applied at checkout | the coupon was not applied at checkout
can I return an opened item | can't I return an opened item
is there a warranty on refurbished laptops | is there no warranty on refurbished laptops
ship it with the gift wrap | ship it without the gift wrap
support: number
my parcel is 3 days late | my parcel is 13 days late
I was charged twice for order 48213 | I was charged twice for order 48231
please send me 2 replacement filters | please send me 4 replacement filters
the invoice says 120 instead of 100 | the invoice says 210 instead of 100
I need five licences for my team | I need fifty licences for my team
error code E1042 at startup | error code E1024 at startup
support: entity
track my shipment with DHL | track my shipment with FedEx
reset my Netflix password | reset my Spotify password
do you deliver to Norway | do you deliver to Sweden
is the Pixel 9 in stock | is the Galaxy 9 in stock
how do I connect Slack | how do I connect Teams
email the receipt to ann@shop.example | email the receipt to bob@shop.example
support: direction
move my data from Dropbox to Drive | move my data from Drive to Dropbox
upgrade from basic to premium | upgrade from premium to basic
can I change the address after dispatch | can I change the address before dispatch
migrate tickets from Zendesk into Jira | migrate tickets from Jira into Zendesk
the courier left it with the neighbour | the courier left it without the neighbour
support: action
cancel my order | confirm my order
enable two-factor authentication | disable two-factor authentication
delete my account | restore my account
pause my subscription | resume my subscription
how do I mute notifications | how do I unmute notifications
can you reopen ticket for me | can you close ticket for me
how do I archive a conversation | how do I export a conversation
banking: negation
my card is working abroad | my card is not working abroad
I recognise this payment | I don't recognise this payment
the transfer went through | the transfer never went through
I authorised this withdrawal | I did not authorise this withdrawal
is my deposit insured | is my deposit not insured
pay the bill without a fee | pay the bill with a fee
banking: number
send 50 euros to Anna | send 500 euros to Anna
my limit is 1000 a day | my limit is 100 a day
repay over 12 months | repay over 24 months
the fee was 2.5 percent | the fee was 5.2 percent
withdraw twenty pounds | withdraw eighty pounds
schedule a payment for 3 June | schedule a payment for 30 June
banking: entity
exchange dollars for yen | exchange dollars for francs
is the transfer to Germany free | is the transfer to Brazil free
add my Visa card to the app | add my Mastercard card to the app
pay 30 € to the shop | pay 30 $ to the shop
close my savings account | close my checking account
top up with Apple Pay | top up with Google Pay
banking: direction
transfer money from checking to savings | transfer money from savings to checking
convert euros to dollars | convert dollars to euros
Anna owes Peter rent | Peter owes Anna rent
is the fee taken before the exchange | is the fee taken after the exchange
money into my account | money out of my account
balance above the limit | balance below the limit
banking: action
activate my card | deactivate my card
freeze my card | unfreeze my card
deposit a cheque | cash a cheque
increase my overdraft | decrease my overdraft
how do I block my card | how do I unblock my card
dispute this payment | repeat this payment
what happens when I lend money | what happens when I borrow money
travel: negation
are pets allowed on board | are pets not allowed on board
is breakfast included | isn't breakfast included
I need a visa for this stop | I need no visa for this stop
a room with a balcony | a room without a balcony
the flight was cancelled | the flight was never cancelled
travel: number
book a table for 2 | book a table for 12
a flight at 7:15 | a flight at 17:15
hotel for three nights | hotel for thirteen nights
two adults and one child | ten adults and one child
gate closes at 9am | gate closes at 9pm
baggage up to 23 kg | baggage up to 32 kg
travel: entity
flights to Paris | flights to Madrid
weather in Boston tomorrow | weather in Denver tomorrow
weather in Boston today | weather in Boston tomorrow
train on Monday | train on Friday
hotels near Heathrow | hotels near Gatwick
is it cold in January in Rome | is it cold in July in Rome
distance in miles to Rome | distance in kilometers to Rome
travel: direction
fly from Paris to Rome | fly from Rome to Paris
the bus from the airport to the centre | the bus from the centre to the airport
arrive before noon | arrive after noon
trains departing from Leeds | trains departing to Leeds
check in before the tour | check in after the tour
flights over the border | flights under the border
travel: action
book a flight to Oslo | cancel a flight to Oslo
upgrade my seat | downgrade my seat
rent a car in Malta | return a car in Malta
confirm my reservation | postpone my reservation
when do we arrive in Milan | when do we depart in Milan
code: negation
the test passes on main | the test does not pass on main
lines that match the pattern | lines that do not match the pattern
select rows where name is null | select rows where name is not null
can a tuple be changed | can't a tuple be changed
import it with side effects | import it without side effects
code: number
what is HTTP status 401 | what is HTTP status 404
listen on port 8080 | listen on port 8081
upgrade to Python 3.11 | upgrade to Python 3.12
retry three times | retry nine times
round to 2 decimals | round to 4 decimals
code: entity
sort a list in Python | sort a list in Ruby
install the package with npm | install the package with yarn
connect to Postgres from Go | connect to MySQL from Go
parse JSON in bash | parse XML in bash
deploy to AWS | deploy to Azure
what does os.remove do | what does os.rename do
code: direction
convert a string to bytes | convert bytes to a string
copy a file from the host to the container | copy a file from the container to the host
run the hook before commit | run the hook after commit
merge main into develop | merge develop into main
sort ascending by date | sort descending by date
code: action
how do I push a tag | how do I delete a tag
encrypt a file with gpg | decrypt a file with gpg
lock a mutex | unlock a mutex
start the docker service | stop the docker service
add a column to a table | drop a column to a table
encode this url | decode this url
mount the volume | unmount the volume
serialize the object | deserialize the object
medical: negation
is this rash contagious | is this rash not contagious
take it with food | take it without food
I am pregnant | I am not pregnant
can I drive on this medicine | can't I drive on this medicine
the patient has a fever | the patient has no fever
medical: number
take 5 mg of it | take 50 mg of it
a child of 2 years | a child of 12 years
two tablets a day | six tablets a day
blood pressure 120/80 | blood pressure 180/120
fasting for 8 hours | fasting for 18 hours
medical: entity
is aspirin safe with alcohol | is ibuprofen safe with alcohol
side effects of metformin | side effects of insulin
dose in mg for adults | dose in mcg for adults
pain in the left knee | pain in the right knee
vaccine against measles | vaccine against mumps
symptoms of type A | symptoms of type B
medical: direction
take it before meals | take it after meals
switch from tablets to injections | switch from injections to tablets
blood flows from the heart to the lungs | blood flows from the lungs to the heart
readings above normal | readings below normal
medical: action
start the treatment | stop the treatment
raise the dose | lower the dose
how do I treat hypertension | how do I treat hypotension
how do I treat hyperglycemia | how do I treat hypoglycemia
remove the bandage | apply the bandage
does it dilate the pupil | does it constrict the pupil
smart home: negation
leave the lights on | don't leave the lights on
is the door locked | is the door not locked
wake me on weekends | never wake me on weekends
smart home: number
set the heating to 19 | set the heating to 21
dim the lamp to 20 percent | dim the lamp to 70 percent
timer for ten minutes | timer for twenty minutes
wake me at 6:30 | wake me at 7:30
volume up by 2 | volume up by 5
smart home: entity
lights in the kitchen | lights in the bedroom
play jazz on the speaker | play rock on the speaker
call my mother | call my sister
water the lawn on Tuesday | water the lawn on Sunday
is the garage open | is the window open
smart home: direction
turn up the volume | turn down the volume
alarm before sunrise | alarm after sunrise
move the robot from the hall to the study | move the robot from the study to the hall
smart home: action
turn on the fan | turn off the fan
open the blinds | close the blinds
arm the alarm | disarm the alarm
lock the front door | unlock the front door
pause the music | resume the music
warm the living room | cool the living room
who: who pays whom and what is asked
who is on call | when is on call
where is the meeting | when is the meeting
why was it shipped | where was it shipped
how do I pay | when do I pay
the landlord pays the tenant | the tenant pays the landlord
the doctor called the nurse | the nurse called the doctor
what is the first step | what is the last step
the earliest train | the latest train
minimum age to drive | maximum age to drive
"""


def _read() -> list[tuple[str, str, str]]:
    found, kind = [], ""
    for line in _PAIRS.strip().splitlines():
        text, bar, changed = line.partition(" | ")
        if bar:
            found.append((kind, text, changed))
        else:
            kind = line
    return found


PAIRS = _read()
"""Kind, text, changed."""
